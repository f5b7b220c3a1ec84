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

local operators = {}

function operators.lt(kind, a, b) return compare(kind, a, b) == -1 end

function operators.gt(kind, a, b) return compare(kind, a, b) == 1 end

function operators.lte(kind, a, b)
  local order = compare(kind, a, b)
  return order == -1 or order == 0
end

function operators.gte(kind, a, b)
  local order = compare(kind, a, b)
  return order == 1 or order == 0
end

function operators.eq(kind, a, b)
  return a == b and kind ~= 'float' or compare(kind, a, b) == 0
end

function operators.contains(_, a, b) return string.find(a, b, 1, true) ~= nil end

function operators.startswith(_, a, b) return string.sub(a, 1, #b) == b end

function operators.endswith(_, a, b) return b == '' or string.sub(a, -#b) == b end

-- Kinds whose values may be written in several ways, or whose text is no number to look up.
local loose = {float = true, decimal = true, datetime = true, time = true}

local function within(kind, texts)
  local set = {}
  for i = 5, #texts do set[texts[i]] = true end
  return function(text)
    if set[text] then return true end
    if loose[kind] then
      for i = 5, #texts do
        if compare(kind, text, texts[i]) == 0 then return true end
      end
    end
    return false
  end
end

local compile
local nothing = {}
local builders = {}

builders['true'] = function() return function() return true end end

builders['false'] = function() return function() return false end end

builders['and'] = function(m, node, columns)
  local parts = {}
  for i = 2, #node do parts[i - 1] = compile(m, node[i], columns) end
  return function(row, pk)
    for i = 1, #parts do
      if not parts[i](row, pk) then return false end
    end
    return true
  end
end

builders['or'] = function(m, node, columns)
  local parts = {}
  for i = 2, #node do parts[i - 1] = compile(m, node[i], columns) end
  return function(row, pk)
    for i = 1, #parts do
      if parts[i](row, pk) then return true end
    end
    return false
  end
end

builders['xor'] = function(m, node, columns)
  local parts = {}
  for i = 2, #node do parts[i - 1] = compile(m, node[i], columns) end
  return function(row, pk)
    local odd = false
    for i = 1, #parts do
      if parts[i](row, pk) then odd = not odd end
    end
    return odd
  end
end

builders['not'] = function(m, node, columns)
  local inner = compile(m, node[2], columns)
  return function(row, pk) return not inner(row, pk) end
end

function builders.cmp(_, node, columns)
  local position, kind, operator, text = node[2], node[3], node[4], node[5]
  columns[position] = true
  if operator == 'null' then
    return function(row) return not row[position] end
  elseif operator == 'in' then
    local member = within(kind, node)
    return function(row) return row[position] and member(row[position]) or false end
  end
  local holds = operators[operator]
  return function(row)
    local own = row[position]
    return own and holds(kind, own, text) or false
  end
end

function builders.field(_, node, columns)
  local position, kind, holds, other = node[2], node[3], operators[node[4]], node[5]
  columns[position], columns[other] = true, true
  return function(row)
    local a, b = row[position], row[other]
    return a and b and holds(kind, a, b) or false
  end
end

-- Reads the columns of an object that a compiled condition looks at; nil where there is no such object.
local function reader(m, columns)
  local names, at = {m.columns[1]}, {1}
  for position in pairs(columns) do
    if position ~= 1 then
      names[#names + 1] = m.columns[position]
      at[#at + 1] = position
    end
  end
  return function(pk)
    local texts = call('HMGET', m.base .. ':' .. pk, unpack(names))
    if not texts[1] then return nil end
    local row = {}
    for i = 1, #at do row[at[i]] = texts[i] end
    return row
  end
end

-- A condition on objects of another model as a function of their key, each asked once per call.
local function remembered(m, condition)
  local columns, known_answers = {}, {}
  asks_others = true
  local holds = compile(m, condition, columns)
  local read = reader(m, columns)
  return function(pk)
    local answer_ = known_answers[pk]
    if answer_ == nil then
      local row = read(pk)
      answer_ = row and holds(row, pk) or (not row and holds(nothing)) or false
      known_answers[pk] = answer_
    end
    return answer_
  end, holds
end

function builders.one(_, node, columns)
  local position = node[2]
  columns[position] = true
  local holds_at, holds = remembered(model_at(node[3]), node[4])
  return function(row)
    local pk = row[position]
    if pk then return holds_at(pk) end
    return holds(nothing)
  end
end

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

function builders.many(_, node)
  local m, position = model_at(node[2]), node[3]
  local holds_at, holds = remembered(m, node[4])
  return function(_, pk)
    local keys = pk and referring_keys(m, position, pk) or nothing
    for i = 1, #keys do
      if holds_at(keys[i]) then return true end
    end
    return #keys == 0 and holds(nothing)
  end
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

function builders.linked(m, node)
  local base, other, keys = links_base(m, node[3]), model_at(node[2]), keys_asked(node[5])
  if keys and #keys == #node[5] - 4 and not other.unsure then
    return function(_, pk)
      local found = pk and call('SMISMEMBER', base .. short(pk), unpack(keys)) or nothing
      for i = 1, #found do
        if found[i] == 1 then return true end
      end
      return false
    end
  end
  local holds_at, holds = remembered(other, node[5])
  return function(_, pk)
    local members = pk and existing(other, call('SMEMBERS', base .. short(pk))) or nothing
    for i = 1, #members do
      if holds_at(members[i]) then return true end
    end
    return #members == 0 and holds(nothing)
  end
end

function compile(m, node, columns)
  return builders[node[1]](m, node, columns)
end
