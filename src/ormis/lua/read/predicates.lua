-- Conditions as functions of a row. Two-valued: a comparison with an absent text is false.
-- A condition is {'and', ...}, {'or', ...}, {'xor', ...}, {'not', c}, {'true'}, {'false'} or
--   {'cmp', position, kind, operator, text, ...}     eq in lt lte gt gte contains startswith endswith null; of JSON
--                                                    member and key; in place of the position a part, see
--                                                    values/inside.lua
--   {'field', position, kind, operator, position}    two fields of the object
--   {'outer', position, kind, operator, relations, position}   a field of the object and one of the object from which
--                                                    so many relations lead here
--   {'created', rank, backwards, inclusive}          the object stands behind this rank in the order of creation
--   {'behind', position, kind, 'gt' or 'lt', text, rank, backwards, inclusive}   the comparison holds, or the field is
--                                                    the same and the object stands behind this rank
--   {'one', position, model, condition, position there}   the object a foreign key points at: the one whose column
--                                                    there, 1 for the primary key, has its value
--   {'many', model, position, condition, position here}   some object of that model whose foreign key has the value of
--                                                    this column; if there is none, an object without any field
--   {'linked', model, name, name there, condition}   some object of that model that is in this one's set of links; the
--                                                    same if there is none
-- Out: compile(m, condition, columns), which adds the positions it reads to the set columns and returns a function of a
--      row and its primary key.

local KEY = require('server.keys')
local call = require('server.call')
local nothing = require('server.lists').nothing
local key_part = require('server.key_part')
local comparing = require('values.compare')
local compare, loose = comparing.compare, comparing.loose
local models = require('model.models')
local bound = require('read.plan').bound
local open_models = require('read.open_models')
local add_bytes = require('read.bytes').add

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

function operators.member(kind, a, b)
  return require('values.inside').each_member(a, kind, function(own) return operators.eq(kind, own, b) end)
end

function operators.key(_, a, b) return require('values.inside').has_key(a, b) end

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

local builders = {}

local function compile(m, condition, columns)
  return builders[condition[1]](m, condition, columns)
end

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

-- A comparison of a part of a column, as one of a row that has it.
local function of_part(node, columns)
  local read, source, own = require('values.inside').reader(node[2]), node[2][1], {}
  for i = 1, #node do own[i] = node[i] end
  own[2] = 1
  local holds = builders.cmp(nil, own, {})
  columns[source] = true
  return function(row)
    local text = row[source]
    return holds({text and read(text) or false})
  end
end

function builders.cmp(_, node, columns)
  local position, kind, operator, text = node[2], node[3], node[4], node[5]
  if type(position) == 'table' then return of_part(node, columns) end
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

-- The objects from which relations have led here, the nearest last: {columns = the set of columns that are read of it,
-- row, correlated = true if a condition on the related objects reads it}.
local scopes = {}

function builders.outer(_, node, columns)
  local position, kind, holds, distance, other = node[2], node[3], operators[node[4]], node[5], node[6]
  local scope = scopes[#scopes + 1 - distance]
  columns[position], scope.columns[other] = true, true
  for i = #scopes + 1 - distance, #scopes do scopes[i].correlated = true end
  return function(row)
    local a, b = row[position], scope.row[other]
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
  local fill = models.filler(m, columns)
  return function(pk)
    local texts = call('HMGET', m.base .. KEY.object .. pk, unpack(names))
    if not texts[1] then return nil end
    add_bytes(texts)
    local row = {}
    for i = 1, #at do row[at[i]] = texts[i] end
    if fill then fill(row) end
    return row
  end
end

-- A condition on objects of another model as a function of their key, each asked once per call unless the answer
-- depends on where the relation comes from: that row is noted in the scope. The rows are read once. The answer is nil
-- for an object that is not there: it is expired, or another program deleted its hash.
local function remembered(m, condition, outer_columns)
  local columns, known_answers, known_rows = {}, {}, {}
  open_models.asks_others = true
  local scope = {columns = outer_columns}
  scopes[#scopes + 1] = scope
  local holds = compile(m, condition, columns)
  scopes[#scopes] = nil
  local read = reader(m, columns)
  local function row_of(pk)
    local row = known_rows[pk]
    if row == nil then
      row = read(pk) or false
      if scope.correlated or not row then known_rows[pk] = row end
    end
    return row
  end
  return function(pk)
    if not scope.correlated and known_answers[pk] ~= nil then return known_answers[pk] end
    local row = row_of(pk)
    if not row then return nil end
    local answer = holds(row, pk) or false
    if not scope.correlated then known_answers[pk] = answer end
    return answer
  end, holds, scope
end

local function created_behind(m, rank, backwards, inclusive)
  rank = tonumber(bound(rank))
  return function(_, pk)
    local own = tonumber(call('ZSCORE', m.base .. KEY.ids, pk) or nil)
    if not own or own == rank then return own ~= nil and inclusive end
    return (own < rank) == backwards
  end
end

function builders.created(m, node)
  return created_behind(m, unpack(node, 2))
end

function builders.behind(m, node, columns)
  local position, kind, text, beyond = node[2], node[3], node[5], node[4] == 'gt' and 1 or -1
  local created = created_behind(m, unpack(node, 6))
  columns[position] = true
  return function(row, pk)
    local order = row[position] and compare(kind, row[position], text)
    return order == beyond or order == 0 and created(row, pk)
  end
end

function builders.one(_, node, columns)
  local position, other, by = node[2], open_models.model_at(node[3]), node[5]
  columns[position] = true
  local holds_at, holds, scope = remembered(other, node[4], columns)
  local known_keys = {}
  local function key_of(value)
    if by == 1 then return value end
    if known_keys[value] == nil then known_keys[value] = open_models.holder(other, by, value) or false end
    return known_keys[value]
  end
  return function(row)
    local pk = row[position] and key_of(row[position])
    scope.row = row
    local answer
    if pk then answer = holds_at(pk) end
    if answer == nil then return holds(nothing) end
    return answer
  end
end

-- Whether one of these objects meets a condition; if none of them is there, whether an object without fields does.
local function some(keys, holds_at, holds)
  local there = false
  for i = 1, #keys do
    local answer = holds_at(keys[i])
    if answer then return true end
    there = there or answer ~= nil
  end
  return not there and holds(nothing)
end

function builders.many(_, node, columns)
  local m, position, own = open_models.model_at(node[2]), node[3], node[5]
  if own > 1 then columns[own] = true end
  local holds_at, holds, scope = remembered(m, node[4], columns)
  return function(row, pk)
    scope.row = row
    local value = own == 1 and pk or row[own]
    return some(value and open_models.holders(m, position, value) or nothing, holds_at, holds)
  end
end

function builders.linked(m, node, columns)
  local base, other = open_models.links_base(m, node[3]), open_models.model_at(node[2])
  local keys = open_models.keys_asked(node[5])
  if keys and #keys == #node[5] - 4 then
    keys = open_models.existing(other, keys)
    return function(_, pk)
      local found = pk and #keys > 0 and call('SMISMEMBER', base .. key_part(pk), unpack(keys)) or nothing
      for i = 1, #found do
        if found[i] == 1 then return true end
      end
      return false
    end
  end
  local holds_at, holds, scope = remembered(other, node[5], columns)
  return function(row, pk)
    scope.row = row
    return some(pk and call('SMEMBERS', base .. key_part(pk)) or nothing, holds_at, holds)
  end
end

return compile
