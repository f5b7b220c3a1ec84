-- The request of a search, as query.lua describes it.
-- In: ARGV[2]. Out: request.

local request = cmsgpack.unpack(ARGV[2])
