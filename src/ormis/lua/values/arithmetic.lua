-- Sums, differences and products of stored numbers, if doubles can hold them exactly; changes of JSON.
-- Out: calculate(kind, operator, a, b), the operator one of + - *, of JSON one of inside_changes.lua: the text of the
--      result, as Python writes it; nil if the result is not exact, is NaN or no number, or if kind or operator is
--      another.

local score = require('values.scores')

-- A double as Python's repr has it: the fewest digits that stand for it.
local function float_text(number)
  if number == math.huge then return 'inf' elseif number == -math.huge then return '-inf' end
  local fewest = 14
  if number < 2.3e-308 and number > -2.3e-308 then fewest = 0 end
  local text
  for places = fewest, 16 do
    text = string.format(string.format('%%.%de', places), number)
    if tonumber(text) == number then break end
    -- At a power of two the doubles below are nearer to each other: the next digit up may do where the nearest did not.
    if places == 15 then
      local at = string.find(text, 'e', 1, true)
      local tail = string.sub(text, at - 8, at - 1)
      text = string.sub(text, 1, at - 9) .. string.format('%08.0f', tail + 1) .. string.sub(text, at)
      if tail ~= '99999999' and tonumber(text) == number then break end
    end
  end
  local sign, first, rest, exponent = string.match(text, '^(%-?)(%d)%.?(%d*)e(.*)$')
  local digits, point = string.gsub(first .. rest, '0+$', ''), tonumber(exponent)  -- bounded: 17 digits
  if digits == '' then digits = '0' end
  if point < -4 or point >= 16 then
    local fraction = #digits > 1 and '.' .. string.sub(digits, 2) or ''
    return sign .. first .. fraction .. string.format('e%s%02d', point < 0 and '-' or '+', math.abs(point))
  elseif point < 0 then
    return sign .. '0.' .. string.rep('0', -point - 1) .. digits
  end
  digits = digits .. string.rep('0', point + 2 - #digits)
  return sign .. string.sub(digits, 1, point + 1) .. '.' .. string.sub(digits, point + 2)
end

-- A whole number of 10^-scale as Python's str(Decimal) has it.
local function decimal_text(number, scale)
  local sign = (number < 0 or 1 / number < 0) and '-' or ''
  local digits = string.format('%.0f', math.abs(number))
  local point = #digits - scale
  if point <= -6 then
    local fraction = #digits > 1 and '.' .. string.sub(digits, 2) or ''
    return sign .. string.sub(digits, 1, 1) .. fraction .. string.format('E-%d', 1 - point)
  elseif scale == 0 then
    return sign .. digits
  elseif point <= 0 then
    return sign .. '0.' .. string.rep('0', -point) .. digits
  end
  return sign .. string.sub(digits, 1, point) .. '.' .. string.sub(digits, point + 1)
end

local function calculate(kind, operator, a, b)
  if kind == 'json' then return require('values.inside_changes')(operator, a, b) end
  local x, y, scale
  if kind == 'int' or kind == 'float' then
    x, y = score(kind, a), score(kind, b)
  elseif kind == 'decimal' then
    local decimal_parts = require('values.decimal_parts')
    local sign, whole, fraction, _, exponent = decimal_parts(a)
    local sign_b, whole_b, fraction_b, _, exponent_b = decimal_parts(b)
    if not sign or not sign_b or whole == '' or whole_b == '' or exponent .. exponent_b ~= '' then return nil end
    scale = operator == '*' and #fraction + #fraction_b or math.max(#fraction, #fraction_b)
    if scale > 300 then return nil end
    if operator ~= '*' then
      fraction = fraction .. string.rep('0', scale - #fraction)
      fraction_b = fraction_b .. string.rep('0', scale - #fraction_b)
    end
    x, y = tonumber(sign .. whole .. fraction), tonumber(sign_b .. whole_b .. fraction_b)
  end
  if not x or not y then return nil end
  local result
  if operator == '+' then
    result = x + y
  elseif operator == '-' then
    result = x - y
  elseif operator == '*' then
    result = x * y
  end
  if not result or result ~= result then return nil end
  if kind == 'float' then return float_text(result) end
  if math.max(math.abs(x), math.abs(y), math.abs(result)) >= 9007199254740992 then return nil end
  if kind == 'int' then return string.format('%.0f', result + 0) end
  return decimal_text(result, scale)
end

return calculate
