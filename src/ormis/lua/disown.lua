-- On a cluster: applies in this partition the on_delete rules of objects of others that have expired, some of them a
-- call; no reference to them is admitted any more.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list: model key, then primary keys
-- Returns {'ok', {true|false, ...}}, a slot an object: whether there is nothing left to do here.
-- Touched: see elsewhere.lua, expired_on_delete.lua; the objects that refer to them, and what refers to those.

local KEY = require('server.keys')
local server = require('server.server')
local call, keep, answer = server.call, server.keep, server.answer

return answer(function()
  local model, done = cmsgpack.unpack(ARGV[2]), {}
  local key, expired = model[1], KEY.prefix .. KEY.expired .. model[1]
  call('INCR', KEY.prefix .. 'ormis/revocations')
  for i = 2, #model do
    call('HDEL', KEY.prefix .. KEY.admitted .. key, model[i])
    call('SADD', expired, model[i])
  end
  keep()
  require('expiry.expired_on_delete')({key = key, base = KEY.prefix .. key}, #model)
  for i = 2, #model do done[#done + 1] = call('SISMEMBER', expired, model[i]) == 0 end
  return {'ok', done}
end)
