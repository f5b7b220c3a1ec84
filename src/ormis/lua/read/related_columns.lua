-- Columns of related objects, as further positions of a row. They count from 1001, since the server may know columns
-- of a model that the caller does not.
-- A join is {from, model, by, at, {position, ...}}: the object of `model` that the key at position `from` names (with
-- `by` above 0 the one whose column at that position holds it); its columns become `at`, `at` + 1, ...
-- A join with more items counts instead of reading: {from, model, position of the foreign key, at, {}, 0} the objects
-- of `model` that refer to the key, {from, model, 0, at, {}, model of the key, name} those in its set of links.
-- One without a model, {from, 0, part, at, {}}, is a part of what stands at `from`, see values/inside.lua.
-- Out: prepare_joins(joins, early, sorted, numbers): three functions, each nil if there is nothing to do, for the joins
--      that the condition needs, those that the order needs more, and for the rest of them on a list of rows, which
--      returns false if the texts are too long for one call. Counts stay `numbers`, or become texts;
--      prepare_counts(joins, whole_keys, numbers), which appends counts to rows.

local KEY = require('server.keys')
local server = require('server.server')
local call, pcommand = server.call, server.pcommand
local key_part = require('server.key_part')
local nothing = require('server.lists').nothing
local models = require('model.models')
local open_models = require('read.open_models')
local reading = require('read.bytes')

-- The beginning of the keys of the sets whose sizes a join counts; nil if no sizes tell.
local function sets_of(join)
  local other = join.model
  if other.unsure then return nil end
  if join[7] then return open_models.links_base(open_models.model_at(join[6]), join[7]) end
  local index = open_models.index_on(other, 'equal', join[3])
  return index and index .. '='
end

-- The number of objects that a join counts.
local function number_of(join, key)
  local other = join.model
  if join.sets == nil then join.sets = sets_of(join) or false end
  if join.sets then
    local set = join.sets .. key_part(key)
    return call('SCARD', set) - open_models.gone_in(other, {'equal', key = set})
  end
  if not join[7] then return #open_models.existing(other, open_models.holders(other, join[3], key)) end
  local links = open_models.links_base(open_models.model_at(join[6]), join[7]) .. key_part(key)
  return #open_models.existing(other, call('SMEMBERS', links))
end

local text_of = {}

-- A function that appends the sizes of sets to rows, as numbers, or texts; nil if the joins are not all counts of such.
-- whole_keys: the primary keys are numbers, which stand in keys as they are.
local function prepare_counts(joins, whole_keys, numbers)
  for _, join in ipairs(joins) do
    if not join[6] or join[1] ~= 1 then return nil end
    join.model = open_models.model_at(join[2])
    join.sets = sets_of(join)
    if not join.sets or join.model.gone then return nil end
  end
  return function(rows)
    for j = 1, #joins do
      local sets = joins[j].sets
      for i = 1, #rows do
        local row = rows[i]
        local key = sets .. (whole_keys and row[1] or key_part(row[1]))
        local number = pcommand('SCARD', key)
        if type(number) ~= 'number' then number = call('SCARD', key) end
        if numbers then
          row[#row + 1] = number
        else
          local text = text_of[number]
          if not text then
            text = tostring(number)
            text_of[number] = text
          end
          row[#row + 1] = text
        end
      end
    end
    return true
  end
end

local function prepare_joins(joins, early, sorted, numbers)
  local function texts_of(join, key)
    local found = join.known[key]
    if found == nil then
      local other, pk = join.model, key
      if join[3] > 0 then pk = open_models.holder(other, join[3], key) end
      found = pk and call('HMGET', other.base .. KEY.object .. pk, unpack(join.names)) or nothing
      if join.fill and found[#join.names] then join.fill(found) end
      join.known[key] = found
    end
    return found
  end
  local function add(row, first, last)
    for j = first, last do
      local join = joins[j]
      local key = row[join[1]]
      if join.part then
        row[join[4]] = key and join.part(key) or false
      elseif join[6] then
        local number = key and number_of(join, key) or 0
        row[join[4]] = numbers and number or tostring(number)
      else
        local texts, at = key and texts_of(join, key) or nothing, join[4] - 1
        reading.add(texts)
        for i = 1, #join[5] do row[at + i] = texts[i] end
      end
    end
  end
  local function prepare(join)
    join.model, join.known, join.names = open_models.model_at(join[2]), {}, {}
    local defaults = {}
    for i, position in ipairs(join[5]) do
      join.names[i] = join.model.columns[position]
      defaults[i] = models.text_or_default(join.model, position) or nil
    end
    join.names[#join.names + 1] = join.model.columns[1]  -- whether the object is there
    join.fill = models.filler({defaults = defaults}, join[5])
  end
  for _, join in ipairs(joins) do
    if join[2] == 0 then join.part = require('values.inside').reader(join[3]) else prepare(join) end
  end
  return early > 0 and function(row) add(row, 1, early) end,
    sorted > early and function(row) add(row, early + 1, sorted) end,
    function(rows)
      if sorted == #joins then return true end
      for i = 1, #rows do
        if reading.full() then return false end
        add(rows[i], sorted + 1, #joins)
      end
      return true
    end
end

return {prepare_joins = prepare_joins, prepare_counts = prepare_counts}
