-- The request of a search, as query.lua describes it.
-- In: ARGV[2], of query.lua with the index probes before it.
-- Out: request.

local request = select(-1, cmsgpack.unpack(ARGV[2]))

return request
