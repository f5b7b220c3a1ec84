-- The request of a search, as query.lua describes it.
-- In: ARGV[2], which ends with it.
-- Out: request.

local first = require('read.plan')

local _, request = cmsgpack.unpack_one(ARGV[2], first.rest)
request.offset, request.limit = tonumber(first.bound(request.offset)), tonumber(first.bound(request.limit))

return request
