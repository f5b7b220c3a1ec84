-- On a cluster: replaces entries of the claims of unique values, each only if it is still as the caller has seen it. A
-- call that is repeated finds its own entries and does nothing; so it needs no token.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list of {model key, fields, value, seen|false, entry|false, ...}, five
--          slots a claim: false is no entry
-- Returns {'ok', {true|entry|false, ...}}, a slot a claim: true if the new entry stands, otherwise the one that does.
-- Touched: ormis/claims/MODEL/FIELDS, a hash: value -> entry, see cluster/claims.py.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer

return answer(function()
  local claims, found = cmsgpack.unpack(ARGV[2]), {}
  for i = 1, #claims, 5 do
    local key = KEY.prefix .. KEY.claims .. claims[i] .. '/' .. claims[i + 1]
    local value, entry = claims[i + 2], claims[i + 4]
    local stored = call('HGET', key, value)
    if stored == entry then
      stored = true
    elseif stored == claims[i + 3] then
      if entry then call('HSET', key, value, entry) else call('HDEL', key, value) end
      stored = true
    end
    found[#found + 1] = stored
  end
  return {'ok', found}
end)
