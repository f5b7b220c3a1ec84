-- Whether a score stands for its value: for all other values, comparing scores is then as good as comparing texts.
-- Out: exact(kind, number), the score nil if the text is no value of that kind.

local function exact(kind, number)
  if not number or kind == 'decimal' then return false end
  return kind == 'float' or number < 9007199254740992 and number > -9007199254740992
end

return exact
