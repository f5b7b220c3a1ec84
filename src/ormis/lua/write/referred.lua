-- The object that a foreign key refers to by another field than the primary key, after what the batch did so far.
-- In: KEYS[1] ormis/models.
-- Out: referred(opened, target, field, value, thorough), the primary key of the object of the model with the key
--      `target`, of which the unique field has this value; nil if there is none. `opened`: the models of the batch;
--      `thorough`: look at every object if there is no claim, which may have been lost.

local call = require('server.call')
local KEY = require('server.keys')
local as_set = require('server.lists').as_set
local objects = require('write.objects')

-- Whether every value of the field has its claim.
local function is_complete(target, field)
  local fine, stored = pcall(cjson.decode, call('HGET', KEYS[1], target) or '{}')
  if not fine or type(stored) ~= 'table' then return false end
  return as_set(stored.unique or {})[field] and not as_set(stored.incomplete or {})['unique ' .. field]
end

local function text_of(key, field)
  local object = objects.by_key[key]
  if not object then return call('HGET', key, field) end
  for position, name in ipairs(object.new and object.m.columns or {}) do
    if name == field then
      objects.need(object, {position})
      return object.new[position]
    end
  end
end

local function referred(opened, target, field, value, thorough)
  local base = KEY.prefix .. target
  for _, m in pairs(opened) do
    local claims = m.key == target and m.claims and m.claims[field]
    if claims and claims[value] ~= nil then return claims[value] or nil end
  end
  local pk = call('HGET', base .. KEY.unique .. field, value)
  if pk or not thorough and is_complete(target, field) then return pk or nil end
  for _, own in ipairs(call('ZRANGE', base .. KEY.ids, 0, -1)) do
    if text_of(base .. KEY.object .. own, field) == value then return own end
  end
end

return referred
