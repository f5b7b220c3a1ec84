-- One text for all equal values of a kind, itself a text of that kind: the members of a list are indexed by it.
-- storage/member_texts.py has the same.
--   float     17 digits, 0 for -0    decimal   digits without zeros at either end, E, the exponent; inf, -inf
--   datetime  without Z: comparisons take a naive one as UTC
-- Out: canonical(kind, text); nil for NaN; a text of another kind, which has one text for each value, as it is.

local function decimal(text)
  local sign, whole, fraction, minus, exponent = require('values.decimal_parts')(text)
  if not sign then
    local number = require('values.scores')('decimal', text)
    return number and (number > 0 and 'inf' or '-inf')
  end
  local digits = string.match(whole .. fraction, '^0*(.*)$')
  local last = #digits
  while string.byte(digits, last) == 48 do last = last - 1 end
  if last == 0 then return '0' end
  -- An exponent may be beyond 2^53: upper * 10^9 + lower.
  local upper, lower = tonumber(string.sub(exponent, 1, -10)) or 0, tonumber(string.sub(exponent, -9)) or 0
  if minus == '-' then upper, lower = -upper, -lower end
  lower = lower - #fraction + #digits - last
  upper, lower = upper + math.floor(lower / 1000000000), lower % 1000000000
  if upper < 0 and lower > 0 then upper, lower = upper + 1, lower - 1000000000 end
  local minus_sign, high, low = (upper < 0 or lower < 0) and '-' or '', math.abs(upper), math.abs(lower)
  local power = high > 0 and string.format('%.0f%09.0f', high, low) or string.format('%.0f', low)
  return (sign == '-' and '-' or '') .. string.sub(digits, 1, last) .. 'E' .. minus_sign .. power
end

local function canonical(kind, text)
  if kind == 'datetime' then return string.byte(text, -1) == 90 and string.sub(text, 1, -2) or text end
  if kind == 'decimal' then return decimal(text) end
  if kind ~= 'float' then return text end
  local number = require('values.scores')('float', text)
  if not number or number ~= number then return nil end
  return number == 0 and '0' or string.format('%.17g', number)
end

return canonical
