-- Whether a value is within the bounds of its field.
-- Out: within_bounds(kind, text, bounds), the bounds {'ge'|'gt'|'le'|'lt', text, ...}.

local compare = require('values.compare').compare

local function within_bounds(kind, text, bounds)
  for i = 1, #bounds, 2 do
    local operator, order = bounds[i], compare(kind, text, bounds[i + 1])
    local holds = order == 0 and (operator == 'ge' or operator == 'le')
      or order == 1 and (operator == 'ge' or operator == 'gt')
      or order == -1 and (operator == 'le' or operator == 'lt')
    if not holds then return false end
  end
  return true
end

return within_bounds
