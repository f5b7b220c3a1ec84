-- On a cluster: no partition is registered any more at these objects, as far as none has been since the caller has read
-- their entries.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list {model key, primary key, entry, ...}
-- Returns {'ok', {true|false, ...}}, a slot an object: whether no partition is registered.
-- Touched: see elsewhere.lua.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local entry = require('write.elsewhere').entry

return answer(function()
  local objects, done = cmsgpack.unpack(ARGV[2]), {}
  for i = 1, #objects, 3 do
    local stored = entry(objects[i], objects[i + 1])
    if stored == objects[i + 2] then
      call('HDEL', KEY.prefix .. KEY.registered .. objects[i], objects[i + 1])
      call('SREM', KEY.prefix .. KEY.orphaned .. objects[i], objects[i + 1])
    end
    done[#done + 1] = not stored or stored == objects[i + 2]
  end
  return {'ok', done}
end)
