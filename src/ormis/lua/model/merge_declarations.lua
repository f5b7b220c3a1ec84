-- The union of a caller's declaration of a model and the stored one, so that no client, older or newer,
-- leaves something stale in an index that another client uses.
-- A declaration is JSON, {"indexes": ["type kind field,field", ...], "unique": ["field,field", ...], "pk": field,
-- "references", "links": see catalog.lua, "expires": true if objects may expire, "defaults": the fields of which an
-- absent text counts as a default, "parts": {name: part}, see parts.lua}; a stored one may have "incomplete":
-- ["indexes ...", "unique ..."], those declared when there were objects already.
-- In: KEYS[1] ormis/models.
-- Out: merge_declarations(m, text, declaration, may_write), which completes m.indexes and m.unique, and says in
--      m.incomplete which can't be trusted yet, indexes by slot, constraints by name, and in m.expires whether objects
--      may expire.

local KEY = require('server.keys')
local index_kinds = require('model.index_kinds')
local server = require('server.server')
local bare, call, pcommand, fail = server.bare, server.call, server.pcommand, server.fail
local lists = require('server.lists')
local extend, as_set, nothing = lists.extend, lists.as_set, lists.nothing

local MOST_LOOKED_AT = 1000  -- objects

local function column_at(m, at, name)
  if not at[name] and m.parts and m.parts[name] then
    require('model.parts').add(m, at, name, m.parts[name])
  elseif not at[name] then
    m.columns[#m.columns + 1] = name
    at[name] = #m.columns
  end
  return at[name]
end

local function columns_at(m, at, names)
  local list = {}
  for name in string.gmatch(names, '[^,]+') do list[#list + 1] = column_at(m, at, name) end
  return list
end

-- Adds to `stored` what `declared` has more, as incomplete where there are objects it was not kept for.
local function adopt(stored, declared, part, populated)
  local known_parts, news = as_set(stored[part] or {}), false
  for _, definition in ipairs(declared[part] or {}) do
    if not known_parts[definition] then
      news = true
      stored[part] = stored[part] or {}
      table.insert(stored[part], definition)
      if populated then table.insert(stored.incomplete, part .. ' ' .. definition) end
    end
  end
  return news
end

-- Whether every object has a text of this field: the index of it alone says so, or the objects, if they may be read.
local function all_have(m, name, may_look)
  local ids = m.base .. KEY.ids
  local sorted = pcommand('ZCARD', m.base .. KEY.index .. name)
  local count = call('ZCARD', ids)
  if sorted == count then return true end
  if not may_look or count > MOST_LOOKED_AT then return false end
  for _, pk in ipairs(call('ZRANGE', ids, 0, -1)) do
    local key = m.base .. KEY.object .. pk
    if call('HEXISTS', key, name) == 0 and call('EXISTS', key) == 1 then return false end
  end
  return true
end

-- The indexes and constraints with this field that are complete.
local function complete_with(stored, incomplete, name)
  local found = {}
  for _, part in ipairs({'indexes', 'unique'}) do
    for _, definition in ipairs(stored[part]) do
      local whole, fields = part .. ' ' .. definition, string.match(definition, '^%S+ %S+ (%S+)$') or definition
      local has_it = string.find(',' .. fields .. ',', ',' .. name .. ',', 1, true)
      for own, place in pairs(stored.parts or nothing) do
        has_it = has_it or place[1] == name and string.find(',' .. fields .. ',', ',' .. own .. ',', 1, true)
      end
      if has_it and not incomplete[whole] then found[#found + 1] = whole end
    end
  end
  return found
end

-- A field whose absent texts count as a default from now on may be missing in what was complete without one.
local function adopt_defaults(m, stored, declared, populated, may_look)
  local known_names, names, news = as_set(stored.defaults or nothing), declared.defaults or nothing, false
  local incomplete = as_set(stored.incomplete)
  for _, name in ipairs(names) do
    local trusted = not known_names[name] and populated and complete_with(stored, incomplete, name) or nothing
    news = news or not known_names[name]
    if #trusted > 0 and not all_have(m, name, may_look) then
      extend(stored.incomplete, trusted)
      incomplete = as_set(stored.incomplete)
    end
  end
  news = news or #names ~= #(stored.defaults or nothing)
  stored.defaults = declared.defaults
  return news
end

-- What is complete with a part that is found elsewhere from now on, or of another kind, is to be built again.
local function adopt_parts(stored, declared, populated)
  local news = false
  for name, part in pairs(declared.parts or nothing) do
    local known = stored.parts and stored.parts[name]
    if not known or cjson.encode(known) ~= cjson.encode(part) then
      if known and populated then extend(stored.incomplete, complete_with(stored, as_set(stored.incomplete), name)) end
      stored.parts = stored.parts or {}
      stored.parts[name], news = part, true
    end
  end
  return news
end

-- The same for parts of a declaration that need no building.
local function adopt_rest(stored, declared)
  local news = stored.pk ~= declared.pk or declared.expires ~= nil and not stored.expires
  stored.pk, stored.expires = declared.pk, stored.expires or declared.expires
  news = adopt(stored, declared, 'references') or news
  return adopt(stored, declared, 'links') or news
end

local function all_declared(stored, declared)
  if #stored.incomplete > 0 or stored.expires ~= declared.expires then return false end
  for _, part in ipairs({'indexes', 'unique', 'references', 'links', 'defaults'}) do
    if #(stored[part] or {}) ~= #(declared[part] or {}) then return false end
  end
  return true
end

-- An index, from its definition "type kind field,field". One of a type that is not known here can't be kept right.
local function add_index(m, at, definition)
  local kind_of_index, kind, names = string.match(definition, '^(%S+) (%S+) (%S+)$')
  if not index_kinds[kind_of_index] then
    fail('index-kind', bare(KEYS[1]), m.key, definition)
  end
  local prefix = columns_at(m, at, names)
  local last = table.remove(prefix)
  extend(m.indexes, {kind_of_index, kind, m.columns[last], last, #prefix > 0 and prefix})
end

-- A stored declaration; a text that is none is an outcome that names it.
local function decoded(m, text)
  local fine, stored = pcall(cjson.decode, text)
  if not fine or type(stored) ~= 'table' or not stored.indexes or not stored.unique then
    fail('declaration', bare(KEYS[1]), m.key)
  end
  return stored
end

-- The definitions of the indexes and constraints of a shape; none if it is only a key.
local function definitions_of(m)
  local indexes, unique = {}, {}
  for i = 1, #(m.indexes or nothing), 5 do
    local names = {}
    for _, position in ipairs(m.indexes[i + 4] or {}) do names[#names + 1] = m.columns[position] end
    names[#names + 1] = m.indexes[i + 2]
    indexes[#indexes + 1] = m.indexes[i] .. ' ' .. m.indexes[i + 1] .. ' ' .. table.concat(names, ',')
  end
  for i = 1, #(m.unique or nothing), 2 do unique[#unique + 1] = m.unique[i] end
  return indexes, unique
end

-- The stored definitions, those of the shape first and in its order: a request names an index by its number there.
local function in_order_of(shape, stored)
  local list, listed = {}, as_set(shape)
  extend(list, shape)
  for _, definition in ipairs(stored) do
    if not listed[definition] then list[#list + 1] = definition end
  end
  return list
end

-- Stores the kinds of the columns that are not known yet.
local function store_columns(m, write)
  local text = call('HGET', KEY.prefix .. KEY.columns, m.key)
  local fine, kinds = pcall(cjson.decode, text or '{}')
  local position, news = 0, false
  if not fine or type(kinds) ~= 'table' then kinds = {} end
  for kind in string.gmatch(m.stored, '%S+') do
    position = position + 1
    local name = m.columns[position]
    if not kinds[name] then kinds[name], news = kind, true end
  end
  if news then write('HSET', KEY.prefix .. KEY.columns, m.key, cjson.encode(kinds)) end
end

local function merge_declarations(m, text, declaration, may_write)
  local stored = text and decoded(m, text) or {indexes = {}, unique = {}}
  stored.incomplete = stored.incomplete or {}
  local declared = cjson.decode(declaration)
  local populated = call('ZCARD', m.base .. KEY.ids) > 0
  local more = adopt(stored, declared, 'indexes', populated)
  more = adopt(stored, declared, 'unique', populated) or more or not text
  more = adopt_parts(stored, declared, populated) or more
  more = adopt_defaults(m, stored, declared, populated and text, may_write) or more
  more = adopt_rest(stored, declared) or more
  m.expires = stored.expires
  if more and may_write then
    local write = require('server.undo').write
    if m.stored then store_columns(m, write) end
    write('HSET', KEYS[1], m.key, all_declared(stored, declared) and declaration or cjson.encode(stored))
    write('SETNX', KEY.prefix .. KEY.layout, '1')
  end
  local at, incomplete = {}, as_set(stored.incomplete)
  for i, name in ipairs(m.columns) do at[name] = i end
  for i in pairs(m.part_at or nothing) do at[m.columns[i]] = i end
  m.parts = stored.parts
  local indexes, unique = definitions_of(m)
  m.indexes, m.unique, m.incomplete = {}, {}, {}
  for _, definition in ipairs(in_order_of(indexes, stored.indexes)) do
    if incomplete['indexes ' .. definition] then m.incomplete[#m.indexes + 1] = true end
    add_index(m, at, definition)
  end
  for _, names in ipairs(in_order_of(unique, stored.unique)) do
    m.incomplete[names] = incomplete['unique ' .. names]
    extend(m.unique, {names, columns_at(m, at, names)})
  end
end

return merge_declarations
