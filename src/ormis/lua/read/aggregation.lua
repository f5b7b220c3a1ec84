-- Adds up rows as they are found, by groups: a call returns what it has added up, and the caller goes on from there.
-- request.aggregate = {{position, ...}, {{what, position, kind, distinct, condition|false}, ...}}: the columns whose
--   texts make a group, and for each aggregate `what` = count, sum, spread, min, max, of the column at a position (0:
--   of rows), only of rows that meet a condition; `distinct`: say which texts there are.
-- Out: open(m, columns) makes the adders and adds the positions that they read to the set columns; fold(row, pk), the
--   row by positions; by_scores(m), whether sorted indexes hold all that is read; fold_scores(pks) then; folded(), the
--   groups, {{text|false, ...}, {accumulator, ...}}, ..., packed.
-- An accumulator is {count, parts, squares, odd}: how many values were added up, their sum and that of their squares
--   as numbers that add up to it exactly, of Decimals as {exponent, number, ...}, and the texts that are left to the
--   caller: numbers past 2^53, infinities, other forms. Of min and max the last has the best text, of distinct values
--   each text.

local call = require('server.call')
local KEY = require('server.keys')
local compare = require('values.compare').compare
local request = require('read.request')

local EXACT = 9007199254740992       -- 2^53: whole numbers below are exact, and so is a sum that stays below
local ROOT = 94906265                -- the largest number whose square is below
local LEAST, MOST = 1e-140, 1e140    -- squares of floats in between can be split exactly

local keys, aggregates = request.aggregate[1], request.aggregate[2]
local groups, by_key, all = {}, {}, nil

-- Exact sums ----------------------------------------------------------------------------------------------------------

-- Adds a whole number to parts, of which the first is the running one.
local function add_whole(parts, number)
  local sum = (parts[1] or 0) + number
  if sum < EXACT and sum > -EXACT then
    parts[1] = sum
  else
    parts[#parts + 1] = number
  end
end

-- Adds a float to parts that do not overlap: Shewchuk, "Adaptive Precision Floating-Point Arithmetic", 1997.
local function add_float(parts, number)
  local kept = 0
  for i = 1, #parts do
    local part = parts[i]
    if math.abs(number) < math.abs(part) then number, part = part, number end
    local sum = number + part
    local rest = part - (sum - number)
    if rest ~= 0 then
      kept = kept + 1
      parts[kept] = rest
    end
    number = sum
  end
  for i = #parts, kept + 2, -1 do parts[i] = nil end
  parts[kept + 1] = number
end

-- The square of a float as two that add up to it exactly: Dekker, 1971.
local function square_of(number)
  local square, wide = number * number, 134217729 * number
  local high = wide - (wide - number)
  local low = number - high
  return square, ((high * high - square) + 2 * high * low) + low * low
end

-- Adders of numbers, by kind; false for one that is left to the caller ------------------------------------------------

local adders = {}

function adders.int(state, number, spread)
  if number >= EXACT or number <= -EXACT or spread and (number > ROOT or number < -ROOT) then return false end
  add_whole(state[2], number)
  if spread then add_whole(state[3], number * number) end
end

function adders.float(state, number, spread)
  local size = math.abs(number)
  if not (size <= 1.7976931348623157e308) then return false end
  if spread then
    if size > MOST or size < LEAST and size > 0 then return false end
    local square, rest = square_of(number)
    add_float(state[3], square)
    add_float(state[3], rest)
  end
  add_float(state[2], number)
end

local function of_exponent(parts, exponent)
  local found = parts[exponent]
  if not found then
    found = {}
    parts[exponent] = found
  end
  return found
end

-- Of a Decimal as it is written without an exponent: its digits as a whole number.
local function add_decimal(state, text, spread)
  local sign, whole, fraction, _, exponent = require('values.decimal_parts')(text)
  if not sign or exponent ~= '' or #whole + #fraction > 15 then return false end
  if #whole > 1 and string.byte(whole) == 48 then return false end
  local number = whole ~= '' and tonumber(whole .. fraction)
  if not number or sign == '+' or spread and number > ROOT then return false end
  if spread then add_whole(of_exponent(state[3], #fraction), number * number) end
  add_whole(of_exponent(state[2], #fraction), sign == '-' and -number or number)
end

local add_texts = {decimal = add_decimal}

function add_texts.int(state, text, spread)
  if text ~= '0' and not string.find(text, '^%-?[1-9]%d*$') then return false end
  return adders.int(state, tonumber(text), spread)
end

function add_texts.float(state, text, spread)
  if #text > 40 or not string.find(text, '^%-?%d+%.%d+$') then return false end
  return adders.float(state, tonumber(text), spread)
end

-- Adds what a text says; leaves it to the caller where it can't.
local function add_text(kind, spread)
  local add = add_texts[kind]
  return function(state, text)
    if add(state, text, spread) == false then
      state[4][#state[4] + 1] = text
    else
      state[1] = state[1] + 1
    end
  end
end

local function best_of(kind, sign)
  return function(state, text)
    local best = state[4][1]
    local order = best and compare(kind, text, best) or not best and sign
    if order == sign then
      state[4][1] = text
    elseif order == nil or order == false then
      state[4][#state[4] + 1] = text  -- NaN, or no value of the kind: the caller says
    end
  end
end

local function note_text()
  return function(state, text)
    if state[5][text] then return end
    state[5][text] = true
    state[4][#state[4] + 1] = text
  end
end

local makers = {
  count = function() return function(state) state[1] = state[1] + 1 end end,
  sum = function(kind) return add_text(kind, false) end,
  spread = function(kind) return add_text(kind, true) end,
  min = function(kind) return best_of(kind, -1) end,
  max = function(kind) return best_of(kind, 1) end,
}

-- Groups --------------------------------------------------------------------------------------------------------------

local function new_group(texts)
  local states = {}
  for i = 1, #aggregates do states[i] = {0, {}, {}, {}, aggregates[i][4] and {} or nil} end
  groups[#groups + 1] = {texts, states}
  return states
end

local function group_of(row)
  if #keys == 0 then
    all = all or new_group({})
    return all
  end
  local key = row[keys[1]] or false
  if #keys > 1 then
    local parts = {}
    for i = 1, #keys do
      local text = row[keys[i]]
      parts[i] = text and #text .. ':' .. text or '-'
    end
    key = table.concat(parts)
  end
  local states = by_key[key]
  if not states then
    local texts = {}
    for i = 1, #keys do texts[i] = row[keys[i]] or false end
    states = new_group(texts)
    by_key[key] = states
  end
  return states
end

local function fold(row, pk)
  local states = group_of(row)
  for i = 1, #aggregates do
    local aggregate = aggregates[i]
    local position = aggregate[2]
    local text = position == 0 or row[position]
    if text and (not aggregate.holds or aggregate.holds(row, pk)) then aggregate.add(states[i], text) end
  end
end

local function open(m, columns)
  for i = 1, #keys do columns[keys[i]] = true end
  for i = 1, #aggregates do
    local aggregate = aggregates[i]
    if aggregate[2] > 0 then columns[aggregate[2]] = true end
    aggregate.add = aggregate[4] and note_text() or makers[aggregate[1]](aggregate[3])
    if aggregate[5] then aggregate.holds = require('read.predicates')(m, {'and', aggregate[5]}, columns) end
  end
end

-- By the scores of sorted indexes -------------------------------------------------------------------------------------

local indexes

local function index_of(m, position)
  for i = 1, #m.indexes do
    local index = m.indexes[i]
    if index.type == 'sorted' and index.complete and #index.prefix == 0 and index.last == position then
      return index.base .. index.name
    end
  end
  return nil
end

local model

local function by_scores(m)
  if #keys > 0 then return false end
  indexes, model = {}, m
  for i = 1, #aggregates do
    local what, position, kind, distinct, condition = unpack(aggregates[i], 1, 5)
    local number = kind == 'int' or kind == 'float'
    if distinct or condition or (what ~= 'count' and what ~= 'sum' and what ~= 'spread') then return false end
    if position > 0 then
      indexes[position] = (number or what == 'count') and index_of(m, position) or nil
      if not indexes[position] then return false end
    end
  end
  return true
end

local function fold_scores(pks)
  all = all or new_group({})
  local scores = {}
  for position, key in pairs(indexes) do scores[position] = call('ZMSCORE', key, unpack(pks)) end
  for i = 1, #aggregates do
    local what, position, kind = unpack(aggregates[i], 1, 3)
    local state, found, count = all[i], scores[position], 0
    local add, spread = adders[kind], what == 'spread'
    for j = 1, #pks do
      local score = position == 0 or found[j]
      if score then
        if what ~= 'count' and add(state, tonumber(score), spread) == false then
          state[4][#state[4] + 1] = call('HGET', model.base .. KEY.object .. pks[j], model.columns[position])
        else
          count = count + 1
        end
      end
    end
    state[1] = state[1] + count
  end
end

-- cmsgpack takes a table with gaps for a map: exponents are named.
local function packable(parts, kind)
  if kind ~= 'decimal' then return parts end
  local listed = {}
  for exponent, found in pairs(parts) do
    for i = 1, #found do
      listed[#listed + 1] = exponent
      listed[#listed + 1] = found[i]
    end
  end
  return listed
end

local function folded()
  for i = 1, #groups do
    for j = 1, #aggregates do
      local state = groups[i][2][j]
      state[2], state[3] = packable(state[2], aggregates[j][3]), packable(state[3], aggregates[j][3])
      state[5] = nil
    end
  end
  return cmsgpack.pack(groups)
end

return {open = open, fold = fold, by_scores = by_scores, fold_scores = fold_scores, folded = folded}
