-- On a cluster: admits references from this partition to objects of others, at which it is registered; unless an
-- admission was revoked here since the caller has asked for the number of revocations: it may be of one of these.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list: the number of revocations, then model key, primary key, milliseconds
--          that the object lives, ..., -1 for ever
-- Returns {'ok', true} if they are admitted, {'ok', false} if not.
-- Touched: see elsewhere.lua. What is admitted may be forgotten at any time: it is registered again, then.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local revocations = require('write.elsewhere').revocations

local MOST = 10000  -- objects of a model

return answer(function()
  local objects = cmsgpack.unpack(ARGV[2])
  if objects[1] ~= revocations() then return {'ok', false} end
  for i = 2, #objects, 3 do
    local key, left, ends = KEY.prefix .. KEY.admitted .. objects[i], objects[i + 2], ''
    if left >= 0 then ends = string.format('%.0f', require('expiry.expiring').now() + left) end
    if call('HLEN', key) >= MOST then call('UNLINK', key) end
    call('HSET', key, objects[i + 1], ends)
  end
  return {'ok', true}
end)
