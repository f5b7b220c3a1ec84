-- Finds the holder of a unique value by scanning, while the constraint is incomplete. If the objects are too many for
-- one call it does not scan: what has been claimed so far is refused, and reindexing lists the duplicates.
-- Out: find_holder(m, fields, value).

local KEY = require('server.keys')
local call = require('server.call')
local models = require('model.models')
local objects = require('write.objects')

local FEW = 1000

local function row_of(m, pk, positions)
  local key, row, names = m.base .. KEY.object .. pk, {}, {}
  local object = objects.by_key[key]
  if object then
    if object.new then objects.need(object, positions) end
    return object.new
  end
  for i = 1, #positions do names[i] = m.columns[models.source(m, positions[i])] end
  local texts = call('HMGET', key, unpack(names))
  for i = 1, #positions do row[models.source(m, positions[i])] = texts[i] end
  return row
end

local function find_holder(m, fields, value)
  if call('ZCARD', m.base .. KEY.ids) > FEW then return false end
  for _, pk in ipairs(call('ZRANGE', m.base .. KEY.ids, 0, -1)) do
    local row = row_of(m, pk, fields)
    if row and models.claim(m, fields, row) == value then return pk end
  end
  return false
end

return find_holder
