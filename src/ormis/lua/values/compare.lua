-- The order of values by their stored texts, exact for every kind and every size.
-- Out:
--   compare(kind, a, b)  -1, 0 or 1; nil if one of them is no value of that kind, or NaN
--   loose                the set of kinds whose values may be written in several ways

local score = require('values.scores')
local exact = require('values.exact')

-- Lua compares strings as the locale of the server says; whether that is byte by byte is found out on first use.
local bytewise

local function byte_order(a, b)
  if a == b then return 0 end
  if bytewise == nil then
    bytewise = 'Z' < 'a' and 'a' < 'b' and 'Z' < '_' and '_' < 'a' and '-' < 'A' and 'a-c' < 'ab' and 'a b' < 'aa'
      and 'z' < '\195\164' and '\127' < '\128' and '\128' < '\195\164' and '\195\164' < '\196'
      and '\239\191\191' < '\240\159' and 'a' < 'a\1' and '\1' < '\2'
  end
  if bytewise then return a < b and -1 or 1 end
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y and -1 or 1 end
  end
  return #a < #b and -1 or 1
end

-- The order of two different texts of one kind whose scores are equal.
local function tied_order(kind, a, b)
  if kind == 'datetime' then
    if #a < 26 or #b < 26 then return 0 end  -- another form, of the same moment but for less than a millisecond
    return byte_order(string.sub(a, 1, 26), string.sub(b, 1, 26))
  end
  if kind == 'timedelta' then
    local form = '^(%-?)P(%d+)DT(%d+)%.(%d+)S$'
    local sign, days, seconds, micros = string.match(a, form)
    local _, days_b, seconds_b, micros_b = string.match(b, form)
    if not sign or not micros_b then return 0 end
    local more = (days - days_b) * 86400000000 + ((seconds - seconds_b) * 1000000 + (micros - micros_b))
    if sign == '-' then more = -more end
    return more < 0 and -1 or more > 0 and 1 or 0
  end
  -- A number as its sign, its digits from the first that is not 0, and its magnitude, upper * 10^9 + lower: a Decimal
  -- may have exponents beyond 2^53. Infinity is a number above all magnitudes.
  local function parts(text)
    local sign, whole, fraction, minus, exponent = require('values.decimal_parts')(text)
    if not sign then return string.byte(text) == 45 and -1 or 1, '1', 1e300, 0 end
    local digits = whole .. fraction
    local first = string.find(digits, '[1-9]')
    if not first then return 0 end
    local upper, lower = tonumber(string.sub(exponent, 1, -10)) or 0, tonumber(string.sub(exponent, -9)) or 0
    if minus == '-' then upper, lower = -upper, -lower end
    return sign == '-' and -1 or 1, string.sub(digits, first), upper, lower + #whole - first
  end
  local sign, digits, upper, lower = parts(a)
  local sign_b, digits_b, upper_b, lower_b = parts(b)
  if sign ~= sign_b then return sign < sign_b and -1 or 1 end
  if sign == 0 then return 0 end
  local more = (upper - upper_b) * 1000000000 + (lower - lower_b)
  if more ~= 0 then return more < 0 and -sign or sign end
  local common = math.min(#digits, #digits_b)
  local order = byte_order(string.sub(digits, 1, common), string.sub(digits_b, 1, common))
  if order == 0 and string.find(digits, '[1-9]', common + 1) then order = 1 end
  if order == 0 and string.find(digits_b, '[1-9]', common + 1) then order = -1 end
  return order * sign
end

local function compare(kind, a, b)
  if kind ~= 'int' and kind ~= 'float' and kind ~= 'decimal' and kind ~= 'datetime' and kind ~= 'date'
    and kind ~= 'time' and kind ~= 'timedelta' then
    return byte_order(a, b)
  end
  local x, y = score(kind, a), score(kind, b)
  if not x or not y then return nil end
  if x < y then return -1 elseif x > y then return 1 end
  if a == b or exact(kind, x) then return 0 end
  return tied_order(kind, a, b)
end

-- Kinds whose values may be written in several ways, or whose text is no number to look up.
local loose = {float = true, decimal = true, datetime = true, time = true}

return {loose = loose, compare = compare}
