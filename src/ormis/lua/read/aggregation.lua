-- Adds up rows as they are found, by groups: a call returns what it has added up, and the caller goes on from there.
-- request.aggregate = {{position, ...}, {{what, position, kind, distinct, condition|false}, ...}}: the columns whose
--   texts make a group, and for each aggregate `what` = count, sum, spread, min, max, of the column at a position (0:
--   of rows), only of rows that meet a condition; `distinct`: say which texts there are.
-- Out: open(m, columns) makes the adders and adds the positions that they read to the set columns; fold(row, pk), the
--   row by positions; has_conditions(); by_scores(), whether sorted indexes hold all that is read; fold_scores(pks)
--   then; group_of(row), its number; known_groups(), numbers by the texts of a single key; folded(), packed: {how many
--   groups, {text, ...}, {column, ...}}
--   where a column is {{count, ...}, {sum, ...}, {sum of squares, ...}, {more, ...}} and `more` is {number of a group,
--   {part of the sum, ...}, {part of the sum of squares, ...}, {odd text, ...}}.
-- Sums are exact: parts that add up to them, of Decimals {exponent, number, ...}. Texts are odd, left to the caller, if
-- they are numbers past 2^53, infinities or other forms; so are the best text of min and max, and distinct texts.

local server = require('server.server')
local call = server.call
local KEY = require('server.keys')
local compare = require('values.compare').compare
local score = require('values.scores')
local exact = require('values.exact')
local exact_sums = require('read.exact_sums')
local more_of, add_whole, add_float, square_of =
  exact_sums.more_of, exact_sums.add_whole, exact_sums.add_float, exact_sums.square_of
local index_on = require('read.open_models').index_on
local request = require('read.request')

local EXACT = exact_sums.EXACT
local ROOT = 94906265                -- the largest number whose square is below
local LEAST, MOST, LARGEST = exact_sums.LEAST, exact_sums.MOST, exact_sums.LARGEST

local scored = {int = true, float = true, decimal = true, date = true, datetime = true, time = true, timedelta = true}
local keys, aggregates = request.aggregate[1], request.aggregate[2]
local by_key, texts, count = {}, {}, 0

-- Groups, by number ---------------------------------------------------------------------------------------------------

local function new_group(row)
  count = count + 1
  for i = 1, #keys do texts[#texts + 1] = row[keys[i]] or false end
  for i = 1, #aggregates do
    local own = aggregates[i]
    own.counts[count] = 0
    if own.sums then own.sums[count] = 0 end
    if own.squares then own.squares[count] = 0 end
  end
  return count
end

local function group_of(row)
  local key = #keys == 0 or row[keys[1]] or false
  if #keys > 1 then
    local parts = {}
    for i = 1, #keys do
      local text = row[keys[i]]
      parts[i] = text and #text .. ':' .. text or '-'
    end
    key = table.concat(parts)
  end
  local group = by_key[key]
  if not group then
    group = new_group(row)
    by_key[key] = group
  end
  return group
end

-- The numbers of the groups by the texts of their keys, if these are one column.
local function known_groups()
  return by_key
end

local function leave(own, group, text)
  local odd = more_of(own, group).odd
  odd[#odd + 1] = text
end

-- Adders of numbers, by kind; false for one that is left to the caller ------------------------------------------------

local adders = {}

function adders.int(own, group, number)
  local squares = own.squares
  if number >= EXACT or number <= -EXACT or squares and (number > ROOT or number < -ROOT) then return false end
  add_whole(own, own.sums, 'parts', group, number)
  if squares then add_whole(own, squares, 'squares', group, number * number) end
end

function adders.float(own, group, number)
  local size = math.abs(number)
  if not (size <= LARGEST) then return false end
  if own.squares then
    if size > MOST or size < LEAST and size > 0 then return false end
    local square, rest = square_of(number)
    add_float(own, own.squares, 'squares', group, square)
    add_float(own, own.squares, 'squares', group, rest)
  end
  add_float(own, own.sums, 'parts', group, number)
end

local function add_at(parts, exponent, number)
  local sum = (parts[exponent] or 0) + number
  if sum >= EXACT or sum <= -EXACT then return false end
  parts[exponent] = sum
end

-- Texts of numbers ----------------------------------------------------------------------------------------------------

local readers = {}

function readers.int(own, group, text)
  if text ~= '0' and not string.find(text, '^%-?[1-9]%d*$') then return false end
  return adders.int(own, group, tonumber(text))
end

function readers.float(own, group, text)
  if #text > 40 or not string.find(text, '^%-?%d+%.%d+$') then return false end
  return adders.float(own, group, tonumber(text))
end

-- Of a Decimal as it is written without an exponent: its digits as a whole number.
function readers.decimal(own, group, text)
  local sign, whole, fraction, _, exponent = require('values.decimal_parts')(text)
  if not sign or exponent ~= '' or #whole + #fraction > 15 then return false end
  if #whole > 1 and string.byte(whole) == 48 then return false end
  local number, more = whole ~= '' and tonumber(whole .. fraction), more_of(own, group)
  if not number or sign == '+' or own.squares and number > ROOT then return false end
  if add_at(more.parts, #fraction, sign == '-' and -number or number) == false then return false end
  if own.squares and add_at(more.squares, #fraction, number * number) == false then
    add_at(more.parts, #fraction, sign == '-' and number or -number)
    return false
  end
end

-- The best text, beside its number: of equal ones that stand for several values the texts are compared.
local function best_of(kind, sign)
  local by_number, bests, numbers = scored[kind], {}, {}
  return function(own, group, text)
    local number, order = by_number and score(kind, text), nil
    if by_number and not number then
      leave(own, group, text)  -- NaN, or no value of the kind: the caller says
      return
    elseif not bests[group] then
      order = sign
    elseif by_number and number ~= numbers[group] then
      order = number < numbers[group] and -1 or 1
    elseif not by_number or not exact(kind, number) then
      order = compare(kind, text, bests[group])
    end
    if order == sign then
      bests[group], numbers[group] = text, number
      more_of(own, group).best = text
    end
  end
end

local function adder_of(own)
  local what, _, kind, distinct = unpack(own, 1, 4)
  if distinct then
    local seen = {}
    return function(_, group, text)
      seen[group] = seen[group] or {}
      if not seen[group][text] then
        seen[group][text] = true
        leave(own, group, text)
      end
    end
  elseif what == 'count' then
    return function(_, group) own.counts[group] = own.counts[group] + 1 end
  elseif what == 'min' or what == 'max' then
    return best_of(kind, what == 'min' and -1 or 1)
  end
  local read = readers[kind]
  return function(_, group, text)
    if read(own, group, text) == false then
      leave(own, group, text)
    else
      own.counts[group] = own.counts[group] + 1
    end
  end
end

local model

local function open(m, columns)
  model = m
  by_key, texts, count = {}, {}, 0
  for i = 1, #keys do columns[keys[i]] = true end
  for i = 1, #aggregates do
    local own = aggregates[i]
    local added = not own[4] and (own[1] == 'sum' or own[1] == 'spread')
    if own[2] > 0 then columns[own[2]] = true end
    own.counts, own.more, own.errors = {}, {}, {parts = {}, squares = {}}
    own.sums, own.squares = added and {} or nil, added and own[1] == 'spread' and {} or nil
    own.add = adder_of(own)
    if own[5] then own.holds = require('read.predicates')(m, {'and', own[5]}, columns) end
  end
end

local function fold(row, pk)
  local group = group_of(row)
  for i = 1, #aggregates do
    local own = aggregates[i]
    local position = own[2]
    local text = position == 0 or row[position]
    if text and (not own.holds or own.holds(row, pk)) then own.add(own, group, text) end
  end
end

local function has_conditions()
  for i = 1, #aggregates do
    if aggregates[i][5] then return true end
  end
  return false
end

-- By the scores of sorted indexes -------------------------------------------------------------------------------------

local indexes

local function by_scores()
  if #keys > 0 then return false end
  indexes = {}
  for i = 1, #aggregates do
    local what, position, kind, distinct, condition = unpack(aggregates[i], 1, 5)
    if distinct or condition or what == 'min' or what == 'max' then return false end
    if position > 0 then
      local helps = what == 'count' or kind == 'int' or kind == 'float'
      indexes[position] = helps and index_on(model, 'sorted', position) or nil
      if not indexes[position] then return false end
    end
  end
  return true
end

local function fold_scores(pks)
  local group, scores = group_of(nil), {}
  for position, key in pairs(indexes) do scores[position] = call('ZMSCORE', key, unpack(pks)) end
  for i = 1, #aggregates do
    local own, added = aggregates[i], 0
    local what, position, kind = unpack(own, 1, 3)
    local add, found = what ~= 'count' and adders[kind], scores[position]
    for j = 1, #pks do
      local text = position == 0 or found[j]
      if text then
        if add and add(own, group, tonumber(text)) == false then
          leave(own, group, call('HGET', model.base .. KEY.object .. pks[j], model.columns[position]))
        else
          added = added + 1
        end
      end
    end
    own.counts[group] = own.counts[group] + added
  end
end

-- The answer ----------------------------------------------------------------------------------------------------------

-- Parts as a list; of Decimals with the exponents at which they stand.
local function listed(parts, kind)
  if kind == 'int' then return parts end
  local list = {}
  for exponent, part in pairs(parts) do
    if kind == 'decimal' then list[#list + 1] = exponent end
    list[#list + 1] = part
  end
  return list
end

local function folded()
  local columns = {}
  for i = 1, #aggregates do
    local own, more = aggregates[i], {}
    for name, errors in pairs(own.errors) do
      for group, sum in pairs(errors) do more_of(own, group)[name][0] = sum end
    end
    for group, found in pairs(own.more) do
      if found.best then found.odd[#found.odd + 1] = found.best end
      more[#more + 1] = {group, listed(found.parts, own[3]), listed(found.squares, own[3]), found.odd}
    end
    columns[i] = {own.counts, own.sums or {}, own.squares or {}, more}
  end
  return cmsgpack.pack({count, texts, columns})
end

return {
  open = open, fold = fold, has_conditions = has_conditions, by_scores = by_scores, fold_scores = fold_scores,
  folded = folded, group_of = group_of, known_groups = known_groups,
}
