-- The data of a model beside its objects: the index entries and the unique claims of an object.
-- A model is its shape, as schema.py packs it, plus base, the beginning of its keys:
--   {key, auto, columns = {name, ...}, referrers,
--    indexes = {type, kind, name, last, prefix|false, ...}   five slots an index: a type, see index_kinds.lua; kind,
--      name and position of its last field; the positions of the fields before that
--    unique = {name, positions, ...}, references = {position, target, field|false, ...},
--    expires = true if objects may expire,
--    copied = true if each partition of a cluster has all objects,
--    links = {name, target, name there, ...} if a deletion has to know them
--    defaults = {position -> text}, that an absent text counts as when it is read; indexes and claims do not know it,
--    parts = {name, part, ...} of columns that are kept as JSON, whose positions in indexes and unique are below 0, see
--      parts.lua,
--    kinds = {position, kind, {kind -> defaults}} of a family (families.py), where objects of several classes are
--      concerned: the column that says the kind, the kind of an object without a text there, the defaults of each,
--    stored = 'int text ...', the kinds of the columns, which a first declaration stores}
--   The shape of an update may leave out what the changed columns do not concern. Lists are flat because a small table
--   costs more than all the rest of a lookup.
-- In: KEYS[1] ormis/models.
-- Out: open(packed, declaration, may_write), entry(m, i, row, pk), each_entry(m, i, row, pk, visit),
--      equality_set(m, position, text), filler(m, positions), defaults_of(m, row), text_or_default(m, position, text),
--      claim(m, fields, row), touches(m, positions, changed), concerned(m, i, changed), source(m, position), that of
--      the column itself.

local call = require('server.call')
local KEY = require('server.keys')
local key_part = require('server.key_part')
local nothing = require('server.lists').nothing
local index_kinds = require('model.index_kinds')

-- The model of a shape, with what the database knows of it. may_write: a declaration that is new here is stored.
local function open(packed, declaration, may_write)
  local m = cmsgpack.unpack(packed)
  m.base = KEY.prefix .. m.key
  if m.parts then require('model.parts').open(m) end
  local text = call('HGET', KEYS[1], m.key)
  if text ~= declaration then
    require('model.merge_declarations')(m, text, declaration, may_write)
  end
  return m
end

-- What a row has at a position, also of a part.
local function text_at(m, row, position)
  if position > 0 then return row[position] end
  return require('model.parts').text(m, row, position)
end

-- The key of the index at slot i for the fields before its last; nil if one of them is absent.
local function index_key(m, i, row)
  local keys, prefix = m.keys, m.indexes[i + 4]
  if not prefix then
    if not keys then
      keys = {}
      m.keys = keys
    end
    local key = keys[i]
    if not key then
      key = m.base .. KEY.index .. m.indexes[i + 2]
      keys[i] = key
    end
    return key
  end
  local key = m.base .. KEY.index
  for j = 1, #prefix do
    local value = text_at(m, row, prefix[j])
    if not value then return nil end
    key = key .. m.columns[prefix[j]] .. '=' .. key_part(value) .. '/'
  end
  return key .. m.indexes[i + 2]
end

-- Where one object stands in the index at slot i, of a kind with one entry an object: key, member, score (nil in a
-- set); nothing if a value is absent.
local function entry(m, i, row, pk)
  local indexes = m.indexes
  local text = text_at(m, row, indexes[i + 3])
  local key = text and index_key(m, i, row)
  if key then return index_kinds[indexes[i]].entry(key, text, pk, indexes[i + 1]) end
end

-- Calls visit(key, member, score|nil) for each entry of one object in the index at slot i.
local function each_entry(m, i, row, pk, visit)
  local indexes = m.indexes
  local text = text_at(m, row, indexes[i + 3])
  local key, kind = text and index_key(m, i, row), index_kinds[indexes[i]]
  if not key then return end
  if not kind.entries then
    local own_key, member, number = kind.entry(key, text, pk, indexes[i + 1])
    if own_key then visit(own_key, member, number) end
    return
  end
  local entries = kind.entries(key, text, pk, indexes[i + 1])
  for j = 1, #entries, 3 do visit(entries[j], entries[j + 1], entries[j + 2] or nil) end
end

-- The set of the objects whose column at this position has this text; nil without a complete equality index.
local function equality_set(m, position, text)
  local indexes, incomplete = m.indexes, m.incomplete or {}
  for i = 1, #indexes, 5 do
    if indexes[i] == 'equal' and indexes[i + 3] == position and not indexes[i + 4] and not incomplete[i] then
      return (entry(m, i, {[position] = text}, ''))
    end
  end
end

-- The claim of one object for a unique constraint on these positions; nothing if a value is absent.
local function claim(m, fields, row)
  if #fields == 1 then return text_at(m, row, fields[1]) or nil end
  local values = {}
  for i = 1, #fields do
    values[i] = text_at(m, row, fields[i])
    if not values[i] then return nil end
  end
  return (string.gsub(cjson.encode(values), '\\/', '/'))
end

-- A function that gives a row the defaults of these columns, a set of positions, where their texts are absent; nil if
-- none of them has one.
local function filler(m, positions)
  local defaults = {}
  for position, text in pairs(m.defaults or nothing) do
    if positions[position] then defaults[#defaults + 1] = {position, text} end
  end
  return #defaults > 0 and function(row)
    for i = 1, #defaults do
      local default = defaults[i]
      if not row[default[1]] then row[default[1]] = default[2] end
    end
  end or nil
end

-- The defaults of an object, by position; in a family those of its kind, and none of an unknown one.
local function defaults_of(m, row)
  local kinds = m.kinds
  return kinds and (kinds[3][row[kinds[1]] or kinds[2]] or nothing) or m.defaults or nothing
end

-- The text that a stored one, or its absence, counts as.
local function text_or_default(m, position, text)
  return text or m.defaults and m.defaults[position] or false
end

local function source(m, position)
  return position > 0 and position or require('model.parts').source(m, position)
end

local function touches(m, positions, changed)
  for i = 1, #positions do
    if changed[source(m, positions[i])] then return true end
  end
  return false
end

-- Whether the index at slot i depends on one of the changed columns.
local function concerned(m, i, changed)
  local indexes = m.indexes
  local prefix = indexes[i + 4]
  return changed[source(m, indexes[i + 3])] or prefix and touches(m, prefix, changed)
end

return {
  open = open, entry = entry, each_entry = each_entry, equality_set = equality_set, claim = claim, touches = touches,
  concerned = concerned, filler = filler, defaults_of = defaults_of, text_or_default = text_or_default, source = source,
}
