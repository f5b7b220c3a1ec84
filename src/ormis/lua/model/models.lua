-- What is stored of a model beside its objects: the index entries and the unique claims of an object.
-- A model is its shape, as schema.py packs it, plus base, the beginning of its keys:
--   {key, auto, columns = {name, ...}, referrers,
--    indexes = {type, kind, name, last, prefix|false, ...}   five slots an index: 'equal', 'sorted' or 'text'; kind,
--      name and position of its last field; the positions of the fields before that
--    unique = {name, positions, ...}, references = {position, target, ...}, expires = true if objects may expire,
--    links = {name, target, name there, ...} if a deletion has to know them}
--   The shape of an update may leave out what the changed columns do not concern. Lists are flat because a small table
--   costs more than all the rest of a lookup.
-- In: KEYS[1] ormis/models.
-- Out: open(packed, declaration, may_write), entry(m, i, row, pk), claim(fields, row), touches(positions,
--      changed), concerned(m, i, changed).

local call = require('server.server').call
local KEY = require('server.keys')
local key_part = require('server.key_part')
local score = require('values.scores')

-- The model of a shape, with what the database knows of it. may_write: a declaration that is new here is stored.
local function open(packed, declaration, may_write)
  local m = cmsgpack.unpack(packed)
  m.base = KEY.prefix .. m.key
  local text = call('HGET', KEYS[1], m.key)
  if text ~= declaration then
    require('model.merge_declarations')(m, text, declaration, may_write)
  end
  return m
end

-- Where one object stands in the index at slot i: key, member, score (nil in a set); nothing where a value is absent.
local function entry(m, i, row, pk)
  local indexes = m.indexes
  local last = row[indexes[i + 3]]
  if not last then return nil end
  local key, prefix, kind_of_index = m.base .. KEY.index, indexes[i + 4], indexes[i]
  if prefix then
    for j = 1, #prefix do
      local value = row[prefix[j]]
      if not value then return nil end
      key = key .. m.columns[prefix[j]] .. '=' .. key_part(value) .. '/'
    end
    key = key .. indexes[i + 2]
  else
    -- The same few keys come again and again in a batch.
    m.keys = m.keys or {}
    local keys = m.keys[i] or {[0] = key .. indexes[i + 2]}
    m.keys[i], key = keys, keys[0]
    if kind_of_index == 'equal' then
      keys[last] = keys[last] or key .. '=' .. key_part(last)
      return keys[last], pk
    end
  end
  if kind_of_index == 'equal' then return key .. '=' .. key_part(last), pk end
  if kind_of_index == 'text' then return key, last .. '\0' .. pk, 0 end
  local number = score(indexes[i + 1], last)
  if number then return key, pk, number end
end

-- What one object claims of a unique constraint on these positions; nothing where a value is absent.
local function claim(fields, row)
  if #fields == 1 then return row[fields[1]] or nil end
  local values = {}
  for i = 1, #fields do
    values[i] = row[fields[i]]
    if not values[i] then return nil end
  end
  return (string.gsub(cjson.encode(values), '\\/', '/'))
end

local function touches(positions, changed)
  for i = 1, #positions do
    if changed[positions[i]] then return true end
  end
  return false
end

-- Whether the index at slot i depends on one of the changed columns.
local function concerned(m, i, changed)
  local indexes = m.indexes
  local prefix = indexes[i + 4]
  return changed[indexes[i + 3]] or prefix and touches(prefix, changed)
end

return {open = open, entry = entry, claim = claim, touches = touches, concerned = concerned}
