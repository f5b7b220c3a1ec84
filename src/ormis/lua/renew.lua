-- Renews the time to live of objects that were read.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the packed list {{key of a model, time to live in milliseconds, primary key, ...},
--          ...}
-- Returns {'ok'}, also where the server refuses to write.

local KEY = require('server.keys')
local answer = require('server.server').answer
local renew = require('expiry.renewing').renew

return answer(function()
  local asked = cmsgpack.unpack(ARGV[2])
  for i = 1, #asked do renew(KEY.prefix .. asked[i][1], asked[i][2], {unpack(asked[i], 3)}) end
  return {'ok'}
end)
