-- A packed refusal as it is remembered for a retry: of a long list, the objects that refer to a deleted one, the first
-- items, and of a long text its beginning.
-- Out: shortened(refusal).

local ITEMS, BYTES = 100, 1000

local function cut(value)
  if type(value) == 'string' and #value > BYTES then return string.sub(value, 1, BYTES) end
  if type(value) ~= 'table' then return value end
  local items = {}
  for i = 1, math.min(#value, ITEMS) do items[i] = cut(value[i]) end
  return items
end

-- The operands of arithmetic are computed with.
local function shortened(refusal)
  local outcome = cmsgpack.unpack(refusal)
  return outcome[1] == 'inexact' and refusal or cmsgpack.pack(cut(outcome))
end

return shortened
