--@include models
--@include kinds
-- Conditions as functions of a row. Two-valued: a comparison with an absent text is false.
-- A condition is {'and', ...}, {'or', ...}, {'xor', ...}, {'not', c}, {'true'}, {'false'} or
--   {'cmp', position, kind, operator, text, ...}     eq in lt lte gt gte contains startswith endswith null
--   {'field', position, kind, operator, position}    two fields of the object
--   {'one', position, model, condition}              the object a foreign key points at
--   {'many', model, position, condition}             some object of that model whose foreign key points here; where
--                                                    there is none, an object without any field
--   {'linked', model, name, name there, condition}   some object of that model that is in this one's set of links; the
--                                                    same where there is none
-- Out: compile(m, condition, columns), which adds the positions it reads to the list columns and returns a function of
--      (row, pk); model_at(number); has_index(), links_base(), keys_asked(); asks_others, once a compiled condition
--      reads other objects than the row's own.

local opened, asks_others = {}, false

-- The indexes and constraints of a model by name: here they are searched more often than walked.
local function named(m)
  local indexes, unique, incomplete = {}, {}, m.incomplete or {}
  for i = 1, #m.indexes, 5 do
    local prefix, names = m.indexes[i + 4] or {}, {}
    for j = 1, #prefix do names[j] = m.columns[prefix[j]] end
    indexes[#indexes + 1] = {
      type = m.indexes[i], name = m.indexes[i + 2], last = m.indexes[i + 3], prefix = prefix, names = names,
      base = m.base .. '/index/', complete = not incomplete[i],
    }
  end
  for i = 1, #m.unique, 2 do
    local name = m.unique[i]
    unique[#unique + 1] = {
      fields = m.unique[i + 1], key = m.base .. '/unique/' .. name, complete = not incomplete[name],
    }
  end
  m.indexes, m.unique = indexes, unique
  return m
end

-- A model of this call by its number, unpacked on first use. ARGV[3] on: shape and declaration of each. What expired
-- objects left behind is cleared away; `unsure` says that some of it may be there still.
local function model_at(number)
  local m = opened[number]
  if not m then
    m = models.open(ARGV[2 * number + 1], ARGV[2 * number + 2], false)
    if m.expires then
      --@include expired
      m.unsure = clear_expired(m)
    end
    m = named(m)
    opened[number] = m
  end
  return m
end

local compile, builders
local nothing = {}

-- Kinds whose values may be written in several ways, or whose text is no number to look up.
local loose = {float = true, decimal = true, datetime = true, time = true}

-- Of some keys those of objects that are there: entries of expired objects may be left.
local function existing(m, keys)
  if not m.unsure then return keys end
  local found = {}
  for i = 1, #keys do
    if call('EXISTS', m.base .. ':' .. keys[i]) == 1 then found[#found + 1] = keys[i] end
  end
  return found
end

-- The keys of the objects of m whose foreign key at this position points at pk.
local function referring_keys(m, position, pk)
  for i = 1, #m.unique do
    local unique = m.unique[i]
    if unique.complete and #unique.fields == 1 and unique.fields[1] == position then
      local holder = call('HGET', unique.key, pk)
      return holder and existing(m, {holder}) or nothing
    end
  end
  for i = 1, #m.indexes do
    local index = m.indexes[i]
    if index.complete and index.type == 'equal' and #index.prefix == 0 and index.last == position then
      return existing(m, call('SMEMBERS', index.base .. index.name .. '=' .. short(pk)))
    end
  end
  local keys, name = {}, m.columns[position]
  for _, key in ipairs(call('ZRANGE', m.base .. '/ids', 0, -1)) do
    if call('HGET', m.base .. ':' .. key, name) == pk then keys[#keys + 1] = key end
  end
  return keys
end

-- The key of the set of links, less the key of the object at its end.
local function links_base(m, name)
  return m.base .. '/links/' .. name .. '/'
end

-- The texts of the keys that a condition asks for, where it asks for nothing else.
local function keys_asked(condition)
  local asked = condition[1] == 'cmp' and condition[2] == 1 and (condition[4] == 'eq' or condition[4] == 'in')
  if asked and not loose[condition[3]] then return {unpack(condition, 5, math.min(#condition, 1000))} end
end

-- What conditions are compiled with is made when the first one is: many queries are answered by indexes alone.
function compile(m, node, columns)
  if not builders then
    --@include building
    builders = made_builders
  end
  return builders[node[1]](m, node, columns)
end
