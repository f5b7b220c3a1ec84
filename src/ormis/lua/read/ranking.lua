-- The place of one object among those that a request finds: `before` is its key, `less` the conjuncts, and the
-- probes for them, that those with lesser values meet.
-- Out: find_place(), which returns whether the object is among them; then there are
--   search.bound                 its place in the order of creation, which all others are checked against
--   search.earlier               how many of the model come before it, if there is no condition
--   search.lesser                how many have lesser values, if an index tells that at once

local call = require('server.call')
local access_paths = require('read.access_paths')
local choose, covers = access_paths.choose, access_paths.covers
local candidates = require('read.candidates')
local search, prepare = candidates.search, candidates.prepare
local prepare_reading, look = candidates.prepare_reading, candidates.look
local request = require('read.request')

local function counted_at_once(conjuncts, probes)
  local path = choose(search.m, conjuncts, probes)
  if search.m.unsure or not path or not path.exact or path.several or #covers(path) < #conjuncts then return false end
  return path.cost
end

local function find_place()
  local rows = {}
  prepare()
  prepare_reading(false)
  look({request.before}, rows)
  search.spent = 0
  local place = rows[1] and call('ZSCORE', search.ids, request.before)
  if not place then return false end
  search.bound = place
  if #search.conjuncts == 0 then
    local low, high = '-inf', '(' .. place
    if request.backwards then low, high = '(' .. place, '+inf' end
    search.earlier = call('ZCOUNT', search.ids, low, high)
  end
  search.lesser = request.less and counted_at_once(unpack(request.less))
  return true
end

return find_place
