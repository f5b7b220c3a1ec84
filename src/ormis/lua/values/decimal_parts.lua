-- The parts of a number as Python writes a Decimal, in time linear in its length.
-- Out: decimal_parts(text): its sign, the digits before and behind the point, the sign and the digits of the exponent,
--      each of them empty if it is absent; nil if the text has another form.

local function decimal_parts(text)
  local sign = string.match(text, '^[%+%-]?')
  local whole, fraction = string.match(text, '^%d*', #sign + 1), ''
  local at = #sign + #whole + 1
  if string.byte(text, at) == 46 then
    fraction = string.match(text, '^%d*', at + 1)
    at = at + 1 + #fraction
  end
  if at > #text then return sign, whole, fraction, '', '' end
  local minus, exponent = string.match(text, '^[eE]([%+%-]?)(%d+)$', at)
  if exponent then return sign, whole, fraction, minus, exponent end
  return nil
end

return decimal_parts
