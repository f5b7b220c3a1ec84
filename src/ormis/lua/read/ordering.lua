-- The order of rows: by the terms of request.order, {position, descending, nulls_first, kind, nullable}, then by that
-- of creation.
-- Out: creation_order, by primary key once it is known; know_order(rows); in_place(), whether the order matters;
--      first_of(rows, count); cut(rows, first, last), which leaves only these.

local score = require('values.scores')
local compare = require('values.compare').compare
local search = require('read.candidates').search
local creation_order_of = require('read.creation_order').creation_order_of
local request = require('read.request')

local creation_order = {}

local function know_order(rows)
  local keys = {}
  for i = 1, #rows do keys[i] = rows[i][1] end
  for i, place in ipairs(creation_order_of(search.ids, keys)) do creation_order[keys[i]] = place end
end

-- Whether it matters in which order the rows are.
local function in_place()
  return request.want == 'rows' or request.want == 'keys' or request.want == 'claim'
end

local function by_term(term)
  local position, descending, nulls_first, kind = term[1], term[2], term[3], term[4]
  return function(a, b)
    local x, y = a[position], b[position]
    if not x or not y then
      if not x and not y then return 0 end
      return ((not x) == nulls_first) and -1 or 1
    end
    local order = compare(kind, x, y)
    if not order then
      -- NaN and texts that are no value of the kind have no order: they come last.
      local odd_x, odd_y = compare(kind, x, x) == nil, compare(kind, y, y) == nil
      order = odd_x == odd_y and 0 or odd_x and 1 or -1
    end
    return descending and -order or order
  end
end

-- The numbers that texts at a position stand for, each read once, on first use; false for one that stands for none.
local function numbers_at(position, kind)
  local known = {}
  return function(row)
    local text, number = row[position], known[row]
    if type(text) == 'number' then return text end
    if number == nil then
      number = text and score(kind, text) or false
      known[row] = number
    end
    return number
  end
end

-- Which of two rows comes first. The texts themselves are compared where their numbers say nothing, and the places are
-- looked up where all terms are equal.
local function order_of(rows)
  local terms, numbers, order, counts = {}, {}, request.order, search.count
  for t = 1, #order do terms[t], numbers[t] = by_term(order[t]), numbers_at(order[t][1], order[t][4]) end
  return function(a, b)
    for t = 1, #terms do
      local x, y
      if counts and order[t][1] > 1 then
        x, y = a[order[t][1]], b[order[t][1]]
      else
        x, y = numbers[t](a), numbers[t](b)
      end
      if x and y and x ~= y then return (x < y) ~= order[t][2] end
      local path = terms[t](a, b)
      if path ~= 0 then return path < 0 end
    end
    if not creation_order[a[1]] or not creation_order[b[1]] then know_order(rows) end
    if request.backwards then a, b = b, a end
    return creation_order[a[1]] < creation_order[b[1]]
  end
end

local function sort(rows)
  local comes_first = order_of(rows)
  for i = 2, #rows do
    if not comes_first(rows[i - 1], rows[i]) then return table.sort(rows, comes_first) end
  end
end

-- The first rows by the order, as many as are asked for. A few of many are picked out, cheaper than to sort all.
local function first_of(rows, count)
  if count * 10 > #rows then
    sort(rows)
    return rows
  end
  local comes_first, best, last, term = order_of(rows), {}, nil, request.order[1]
  local counted = search.count and term[1] > 1 and term[1]
  for i = 1, #rows do
    local row, at = rows[i], math.min(#best + 1, count)
    local after = last and counted and last[counted] ~= row[counted] and (row[counted] < last[counted]) == term[2]
    if not after and (at > #best or comes_first(row, best[at])) then
      while at > 1 and comes_first(row, best[at - 1]) do
        best[at], at = best[at - 1], at - 1
      end
      best[at] = row
      last = best[count]
    end
  end
  return best
end

local function cut(rows, first, last)
  if first == 1 and last >= #rows then return rows end
  local kept = {}
  for i = first, math.min(last, #rows) do kept[#kept + 1] = rows[i] end
  return kept
end

return {
  creation_order = creation_order, know_order = know_order,
  first_of = first_of, cut = cut, in_place = in_place,
}
