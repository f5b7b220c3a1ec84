-- Clears the remains of a model's expired objects, as many as one call has room for.
-- Out: clear_expired(m), which returns whether something may be left.

local clear = require('expiry.clearing').clear
local apply_rules = require('expiry.expired_on_delete')

local function clear_expired(m)
  local left = clear(m)
  apply_rules(m)
  return left
end

return clear_expired
