--@include clearing
--@include settling
-- What expired objects of a model left behind, cleared away as far as there is room in one call.
-- Out: clear_expired(m), which says whether something may be left.

local function clear_expired(m)
  local left = clear(m)
  settle(m)
  return left
end
