-- Adds up columns of many objects at once, as flat_columns.lua reads them: aggregates without conditions.
-- Out: columns_read(model), the names of the columns that it reads; fold_columns(found, number, gone), which adds up
--      columns of so many objects.

local aggregation = require('read.aggregation')
local group_of = aggregation.group_of
local exact_sums = require('read.exact_sums')
local add_whole, add_error, add_part = exact_sums.add_whole, exact_sums.add_error, exact_sums.add_part
local request = require('read.request')

local keys, aggregates = request.aggregate[1], request.aggregate[2]
local place, wanted

-- The columns that are read; without keys and columns that of the primary key, which is always there.
local function columns_read(model)
  if wanted then return wanted end
  place, wanted = {}, {}
  local function want(position)
    if position > 0 and not place[position] then
      wanted[#wanted + 1] = model.columns[position]
      place[position] = #wanted
    end
  end
  for i = 1, #keys do want(keys[i]) end
  for i = 1, #aggregates do want(aggregates[i][2]) end
  if #wanted == 0 then want(1) end
  return wanted
end

-- The number of the group of each object; nil where there is but one.
local function groups_of(found, number, gone)
  local width, groups, at, by_key = #wanted, {}, 0, aggregation.known_groups()
  if #keys == 0 and not gone then
    group_of(found)
    return nil
  end
  local first = #keys == 1 and place[keys[1]]
  for i = 1, number do
    if gone and gone[i] then
      groups[i] = false
    elseif first then
      local text = found[at + first]
      groups[i] = by_key[text] or group_of({[keys[1]] = text})
    else
      local row = {}
      for j = 1, #keys do row[keys[j]] = found[at + place[keys[j]]] end
      groups[i] = group_of(row)
    end
    at = at + width
  end
  return groups
end

local EXACT, LEAST, MOST, LARGEST = exact_sums.EXACT, exact_sums.LEAST, exact_sums.MOST, exact_sums.LARGEST
local WHOLE, POINTED = '^%-?[1-9]%d*$', '^%-?%d+%.%d+$'
local find = string.find

-- Adds a column to sums of ints or floats by groups: add_whole() and add_float() for most of the numbers, in one loop.
local function fold_by_groups(own, found, at, groups)
  local sums, counts, add, whole = own.sums, own.counts, own.add, own[3] == 'int'
  local pattern, longest, i = whole and WHOLE or POINTED, whole and 15 or 40, 0
  for j = at, #found, #wanted do
    local text = found[j]
    i = i + 1
    local group = groups[i]
    if text and group then
      local number = #text <= longest and find(text, pattern) and tonumber(text)
      if not number then
        add(own, group, text)
      else
        local before = sums[group]
        local sum = before + number
        if not whole then
          local added = sum - before
          local rest = (before - (sum - added)) + (number - added)
          if rest ~= 0 then add_error(own, 'parts', group, rest) end
          sums[group] = sum
        elseif sum < EXACT and sum > -EXACT then
          sums[group] = sum
        else
          add_whole(own, sums, 'parts', group, number)
        end
        counts[group] = counts[group] + 1
      end
    end
  end
end

-- As adders.int of a column, all in one group.
local function fold_ints(own, found, at)
  local sum, square, count_, squares = own.sums[1], 0, 0, own.squares
  local longest, low = squares and 7 or 15, not squares or squares[1] < EXACT / 2
  local left = {}
  for j = at, #found, #wanted do
    local text = found[j]
    local number = text and #text <= longest and find(text, WHOLE) and tonumber(text)
    if number and sum < EXACT / 2 and sum > -EXACT / 2 and low and square < EXACT / 4 then
      sum, count_ = sum + number, count_ + 1
      if squares then square = square + number * number end
    elseif text then
      left[#left + 1] = text
    end
  end
  own.sums[1], own.counts[1] = sum, own.counts[1] + count_
  if squares then squares[1] = squares[1] + square end
  for i = 1, #left do own.add(own, 1, left[i]) end
end

-- As adders.float of a column, all in one group: sums and their errors are held in locals.
local function fold_floats(own, found, at)
  local squares, errors, count_ = own.squares, own.errors, 0
  local sum, low = own.sums[1], errors.parts[1] or 0
  local square, square_low, lowest = squares and squares[1] or 0, errors.squares[1] or 0, 0
  local least, most = squares and LEAST or 0, squares and MOST or LARGEST
  local left = {}
  for j = at, #found, #wanted do
    local text = found[j]
    local number = text and #text <= 40 and find(text, POINTED) and tonumber(text)
    local size = number and (number < 0 and -number or number)
    if number and size <= most and size >= least then
      count_ = count_ + 1
      local total = sum + number
      local added = total - sum
      local rest = (sum - (total - added)) + (number - added)
      sum = total
      if rest ~= 0 then
        total = low + rest
        added = total - low
        rest = (low - (total - added)) + (rest - added)
        low = total
        if rest ~= 0 then add_part(own, 'parts', 1, rest) end
      end
      if squares then
        local own_square, wide = number * number, 134217729 * number
        local high = wide - (wide - number)
        local tail = number - high
        tail = ((high * high - own_square) + 2 * high * tail) + tail * tail
        total = square + own_square
        added = total - square
        rest = (square - (total - added)) + (own_square - added)
        square = total
        total = square_low + rest
        added = total - square_low
        rest = (square_low - (total - added)) + (rest - added)
        square_low = total
        if rest ~= 0 then add_part(own, 'squares', 1, rest) end
        total = lowest + tail
        added = total - lowest
        rest = (lowest - (total - added)) + (tail - added)
        lowest = total
        if rest ~= 0 then add_part(own, 'squares', 1, rest) end
      end
    elseif text then
      left[#left + 1] = text
    end
  end
  own.sums[1], own.counts[1], errors.parts[1] = sum, own.counts[1] + count_, low
  if squares then
    squares[1], errors.squares[1] = square, square_low
    add_part(own, 'squares', 1, lowest)
  end
  for i = 1, #left do own.add(own, 1, left[i]) end
end

-- Adds up columns as flat_columns.lua reads them.
local function fold_columns(found, number, gone)
  local groups, width = groups_of(found, number, gone), #wanted
  for i = 1, #aggregates do
    local own = aggregates[i]
    local position, kind = own[2], own[3]
    local counts, at = own.counts, place[position]
    if position == 0 and not groups then
      counts[1] = counts[1] + number
    elseif position == 0 then
      for j = 1, number do
        local group = groups[j]
        if group then counts[group] = counts[group] + 1 end
      end
    elseif own.sums and not groups and (kind == 'int' or kind == 'float') then
      (kind == 'int' and fold_ints or fold_floats)(own, found, at)
    elseif own.sums and not own.squares and (kind == 'int' or kind == 'float') then
      fold_by_groups(own, found, at, groups)
    else
      for j = 1, number do
        local text, group = found[at], not groups and 1 or groups[j]
        if text and group then own.add(own, group, text) end
        at = at + width
      end
    end
  end
end

return {columns_read = columns_read, fold_columns = fold_columns}
