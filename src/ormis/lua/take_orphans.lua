-- On a cluster: the objects of a model that have expired here while other partitions were registered at them: what
-- refers to them is still to be changed or deleted there.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list: model key, how many at most
-- Returns {'ok', {primary key, entry, ...}}.
-- Touched: the remains of expired objects of the model; ormis/orphaned/MODEL, a set of primary keys; see elsewhere.lua.

local KEY = require('server.keys')
local server = require('server.server')
local call, keep, answer = server.call, server.keep, server.answer
local entry = require('write.elsewhere').entry

local function clear(model)
  local text = call('HGET', KEYS[1], model)
  local declaration = text and cjson.decode(text)
  if not declaration or not declaration.expires then return end
  local m = {key = model, base = KEY.prefix .. model, columns = {declaration.pk or 'id'}}
  require('model.merge_declarations')(m, text, text, false)
  require('expiry.cleanup')(m)
  keep()
end

return answer(function()
  local model, most = unpack(cmsgpack.unpack(ARGV[2]))
  clear(model)
  local key, found = KEY.prefix .. KEY.orphaned .. model, {}
  for _, pk in ipairs(call('SRANDMEMBER', key, most)) do
    local stored = entry(model, pk)
    if stored and call('EXISTS', KEY.prefix .. model .. KEY.object .. pk) == 0 then
      found[#found + 1], found[#found + 2] = pk, stored
    else
      call('SREM', key, pk)
    end
  end
  return {'ok', found}
end)
