-- The place of one object among those that a request finds: `before` is its key, `less` the condition of those with
-- lesser values.
-- Out: find_place(parts), which returns whether the object is among them; then there are
--   search.bound                 its place in the order of creation, which all others are checked against
--   search.earlier               how many of the model come before it, if there is no condition
--   search.lesser                how many have lesser values, if an index tells that at once

local call = require('server.server').call
local access_paths = require('read.access_paths')
local path_of, conjuncts = access_paths.path_of, access_paths.conjuncts
local candidates = require('read.candidates')
local search, prepare = candidates.search, candidates.prepare
local prepare_reading, look = candidates.prepare_reading, candidates.look
local request = require('read.request')

local function counted_at_once(condition)
  local path, parts = path_of(search.m, condition), conjuncts(condition)
  if search.m.unsure or not path or not path.exact or path.several or #path.covered < #parts then return false end
  return path.cost
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

return find_place
