-- On a cluster: which objects of this partition hold unique values, and what keeps a late commit from taking one.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list of {model key, fields, value, token|false, ...}, four slots a value:
--          the token of a commit that may still come, and is refused from now on; false: nothing is refused
-- Returns {'ok', {primary key|false, ...}}, a slot a value. A refused commit is answered with {'lost', 1}, as if that
-- had been the reply of its first execution, see idempotency.lua; one that was executed before is left as it is.
-- Touched: model/unique/fields; ormis/once/CALLER.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer

local function refuse(token)
  local calls, sequence, slot = KEY.prefix .. KEY.once .. string.sub(token, 1, 12), string.sub(token, 13, 24), nil
  slot = string.sub(token, 25)
  local last = call('HGET', calls, slot)
  if last and string.sub(last, 1, 12) >= sequence then return end
  if call('HSET', calls, slot, sequence .. cmsgpack.pack({'lost', 1})) == 1 then call('EXPIRE', calls, 3600) end
end

return answer(function()
  local asked, holders = cmsgpack.unpack(ARGV[2]), {}
  for i = 1, #asked, 4 do
    local base = KEY.prefix .. asked[i]
    local pk = call('HGET', base .. KEY.unique .. asked[i + 1], asked[i + 2])
    if pk and call('EXISTS', base .. KEY.object .. pk) == 0 then pk = false end
    if asked[i + 3] then refuse(asked[i + 3]) end
    holders[#holders + 1] = pk
  end
  return {'ok', holders}
end)
