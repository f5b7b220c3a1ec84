-- The place of one object among those that a request finds: `before` is its key, `less` what those with lesser values
-- meet.
-- Out: find_place(parts), which returns whether the object is among them; then there are
--   search.bound                 its place in the order of creation, which all others are checked against
--   search.earlier               how many of the model come before it, where there is no condition
--   search.lesser                how many have lesser values, where an index tells that at once

local function counted_at_once(condition)
  local way, parts = way_of(search.m, condition), conjuncts(condition)
  if search.m.unsure or not way or not way.exact or way.several or #way.used < #parts then return false end
  return way.cost
end

local function find_place(parts)
  local rows = {}
  prepare(parts, {})
  prepare_reading(false)
  look({request.before}, rows)
  search.spent = 0
  local place = rows[1] and call('ZSCORE', search.ids, request.before)
  if not place then return false end
  search.bound = place
  if #parts == 0 then
    local low, high = '-inf', '(' .. place
    if request.backwards then low, high = '(' .. place, '+inf' end
    search.earlier = call('ZCOUNT', search.ids, low, high)
  end
  search.lesser = request.less and counted_at_once(request.less)
  return true
end
