-- Clears the remains of a model's expired objects, as many as one call has room for.
-- Out: clear_expired(m, written), which returns whether something may be left; written: the number of objects that the
--      call may make, nothing for a call that reads.

local clear = require('expiry.clearing').clear
local apply_rules = require('expiry.expired_on_delete')

local function clear_expired(m, written)
  local left = clear(m, written)
  apply_rules(m, written)
  return left
end

return clear_expired
