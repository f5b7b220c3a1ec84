-- On a cluster: no reference from this partition to these objects of others is admitted any more; and whether there are
-- objects here that refer to them.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list {model key, primary key, {model key, column, ...}, ...}, three slots
--          an object, the last of which are the foreign keys that count
-- Returns {'ok', {true|false, ...}}, a slot an object: whether it is referred to.
-- Touched: see elsewhere.lua; of the referring models the index of the foreign key, or all objects without one.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local models = require('model.models')
local position_of = require('model.position_of')
local stored_holders = require('write.stored_holders')

local SOME = 25

local opened = {}

-- A referring model as the database knows it; nil if there are no objects of it.
local function referring_model(key)
  local text = call('HGET', KEYS[1], key)
  if text and not opened[key] then
    local m = {key = key, base = KEY.prefix .. key, columns = {cjson.decode(text).pk or 'id'}}
    require('model.merge_declarations')(m, text, text, false)
    opened[key] = m
  end
  return text and opened[key]
end

local function is_one_there(m, pks)
  for _, pk in ipairs(pks) do
    if call('EXISTS', m.base .. KEY.object .. pk) == 1 then return true end
  end
  return false
end

local function refers(m, name, pk)
  local position = position_of(m, name)
  local set = models.equality_set(m, position, pk)
  if set and is_one_there(m, call('SRANDMEMBER', set, SOME)) then return true end
  return is_one_there(m, stored_holders(m, position, pk))
end

local function is_referred_to(pk, foreign_keys)
  for i = 1, #foreign_keys, 2 do
    local m = referring_model(foreign_keys[i])
    if m and refers(m, foreign_keys[i + 1], pk) then return true end
  end
  return false
end

return answer(function()
  local objects, found = cmsgpack.unpack(ARGV[2]), {}
  call('INCR', KEY.prefix .. 'ormis/revocations')
  for i = 1, #objects, 3 do
    call('HDEL', KEY.prefix .. KEY.admitted .. objects[i], objects[i + 1])
    found[#found + 1] = is_referred_to(objects[i + 1], objects[i + 2])
  end
  return {'ok', found}
end)
