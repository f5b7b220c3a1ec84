-- Out: stored_holders(m, position, value), the keys of the objects that were stored with this value in a column: from
--      the claim where it is unique, from the index, or from every object where neither is complete.

local call = require('server.call')
local KEY = require('server.keys')
local models = require('model.models')

local function stored_holders(m, position, value)
  local name, incomplete = m.columns[position], m.incomplete or {}
  for i = 1, #m.unique, 2 do
    if m.unique[i] == name and not incomplete[name] then
      local holder_pk = call('HGET', m.base .. KEY.unique .. name, value)
      return holder_pk and {holder_pk} or {}
    end
  end
  local key = models.equality_set(m, position, value)
  if key then return call('SMEMBERS', key) end
  local found = {}
  for _, pk in ipairs(call('ZRANGE', m.base .. KEY.ids, 0, -1)) do
    if call('HGET', m.base .. KEY.object .. pk, name) == value then found[#found + 1] = pk end
  end
  return found
end

return stored_holders
