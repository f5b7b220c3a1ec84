-- Exact sums of numbers by groups: parts that add up to them.
-- An aggregate `own` has `sums`, by the numbers of groups, of its values, and `squares`, of their squares; what these
-- do not hold is in `own.more`, by groups: lists `parts` and `squares` of further parts. `name` is one of these two.
-- Out: EXACT, LEAST, MOST, LARGEST; more_of(own, group), that of a group; add_whole(own, sums, name, group, number), of
--      whole numbers; add_float(own, sums, name, group, number), add_error(own, name, group, error_), a rounding error
--      of a sum, and add_part(own, name, group, number), of floats; square_of(number), as two floats.

local EXACT = 9007199254740992       -- 2^53: whole numbers below are exact, and so is a sum that stays below
local LEAST, MOST = 1e-140, 1e140    -- squares of floats in between can be split exactly
local LARGEST = 1e290                -- a float below can be split in halves

-- What a group has beyond a count and a sum.
local function more_of(own, group)
  local found = own.more[group]
  if not found then
    found = {parts = {}, squares = {}, odd = {}}
    own.more[group] = found
  end
  return found
end

-- Adds a whole number to the sum of a group; if that grows past 2^53 it goes on from there.
local function add_whole(own, sums, name, group, number)
  local sum = sums[group] + number
  if sum < EXACT and sum > -EXACT then
    sums[group] = sum
  else
    local parts = more_of(own, group)[name]
    parts[#parts + 1] = sums[group]
    sums[group] = number
  end
end

-- Adds a float to sums of floats of the same magnitude, in two halves of 26 and 27 bits each: so many millions of them
-- add up without rounding. The halves of the exponent e stand at 2e and 2e + 1.
local function add_part(own, name, group, number)
  if number == 0 then return end
  local parts = more_of(own, group)[name]
  local _, exponent = math.frexp(number)
  local wide = 134217729 * number
  local high, at = wide - (wide - number), 2 * exponent
  parts[at] = (parts[at] or 0) + high
  parts[at + 1] = (parts[at + 1] or 0) + (number - high)
end

-- Adds the rounding error of a sum of floats to the sum of its errors; the error of that, which is rare, to the parts.
local function add_error(own, name, group, error_)
  local errors = own.errors[name]
  local before = errors[group] or 0
  local sum = before + error_
  local added = sum - before
  local rest = (before - (sum - added)) + (error_ - added)
  errors[group] = sum
  if rest ~= 0 then add_part(own, name, group, rest) end
end

-- Adds a float to the sum of a group, and the rounding error of that to the sum of these: Knuth's TwoSum.
local function add_float(own, sums, name, group, number)
  local before = sums[group]
  local sum = before + number
  local added = sum - before
  local rest = (before - (sum - added)) + (number - added)
  sums[group] = sum
  if rest ~= 0 then add_error(own, name, group, rest) end
end

-- The square of a float as two that add up to it exactly: Dekker, 1971.
local function square_of(number)
  local square, wide = number * number, 134217729 * number
  local high = wide - (wide - number)
  local low = number - high
  return square, ((high * high - square) + 2 * high * low) + low * low
end

return {
  EXACT = EXACT, LEAST = LEAST, MOST = MOST, LARGEST = LARGEST, more_of = more_of, add_whole = add_whole,
  add_float = add_float, add_error = add_error, add_part = add_part, square_of = square_of,
}
