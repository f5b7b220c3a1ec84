-- The results of sums over a row, see updating.lua, which have no bounds.
-- Out: row_sums(row, sums), {position, text, ...}; nil if one of them can't be done here.

local arithmetic = require('values.arithmetic')

local function row_sums(row, sums)
  local results = {}
  for i = 1, #sums, 7 do
    local right = sums[i + 4]
    local a, b = row[sums[i + 3]], sums[i + 5]
    if right > 0 then b = row[right] end
    local text = sums[i + 2] ~= '' and a and b and arithmetic(sums[i + 1], sums[i + 2], a, b)
    if not text then return nil end
    results[#results + 1], results[#results + 2] = sums[i], text
  end
  return results
end

return row_sums
