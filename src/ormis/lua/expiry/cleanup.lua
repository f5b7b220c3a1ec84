-- What expired objects of a model left behind, cleared away as far as there is room in one call.
-- Out: clear_expired(m), which returns whether something may be left.

local clear = require('expiry.clearing').clear
local apply_rules = require('expiry.expired_on_delete')

local function clear_expired(m)
  local left = clear(m)
  apply_rules(m)
  return left
end

return clear_expired
