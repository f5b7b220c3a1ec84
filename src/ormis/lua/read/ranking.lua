-- The place of one object among those that a request finds: `before` is its key, `less` a list of {conjuncts, probes}:
-- between them, objects with lesser values meet one of these conditions each. Of an object of another partition of a
-- cluster `before` is {place, with}: its place in the order of creation, and whether what stands at the same place
-- comes before it.
-- Out: find_place(), which returns whether the object is among them; then there are
--   search.bound                 its place in the order of creation, which all others are checked against
--   search.with_bound            whether others at this place come before it
--   search.earlier               how many of the model come before it, if there is no condition
--   search.lesser                how many meet each condition of `less`, false where no index tells that at once

local call = require('server.call')
local nothing = require('server.lists').nothing
local access_paths = require('read.access_paths')
local bounded, choose, covers = access_paths.bounded, access_paths.choose, access_paths.covers
local measured, usable = access_paths.measured, access_paths.usable
local gone_in = require('read.open_models').gone_in
local candidates = require('read.candidates')
local search, prepare = candidates.search, candidates.prepare
local prepare_reading, look = candidates.prepare_reading, candidates.look
local request = require('read.request')
local sifting = require('read.sift')

local PAGE, MOST = 1000, 20000  -- keys that are looked up in an index, at a time and in all

-- How many objects meet these conjuncts, and the probe that allows them and no others; false where no index tells. The
-- first ones of a longer list have the numbers that its probes name.
local function count_by_index(conjuncts, probes)
  if #conjuncts == 0 then
    return call('ZCARD', search.ids) - gone_in(search.m, {'sorted', key = search.ids})
  end
  local path = choose(search.m, conjuncts, probes)
  if not path or path.several or #covers(path) < #conjuncts then return false end
  local gone = gone_in(search.m, path)
  if not gone then return false end
  if path.exact then return path.cost - gone, path end
  if search.m.gone then return false end
  if path[1] ~= 'text' and path[1] ~= 'sorted' then return false end
  return require('read.range_counts')(path, search.m, conjuncts) or false
end

-- How many objects of a path are in an index.
local function count_within(path, index)
  if not path or path.cost > MOST then return nil end
  local keys, count = sifting.keys_of(path), 0
  if search.m.gone then keys = require('expiry.left_behind').without_gone(search.m, keys) end
  for first = 1, #keys, PAGE do
    count = count + #sifting.sift({unpack(keys, first, math.min(first + PAGE - 1, #keys))}, index)
  end
  return count
end

-- How many objects that meet these conjuncts have a value in the column at this position: they are in its index, which
-- may have the fields that the conjuncts ask for before it. NaN is in none.
local function count_present(position, kind, conjuncts, probes)
  local all, path = count_by_index(conjuncts, probes)
  local present
  for _, probe in ipairs(all and probes or {}) do
    local ranged = not bounded(probe) and (probe[1] == 'sorted' or probe[1] == 'text')
    if not present and ranged and search.m.indexes[probe[2]].last == position and usable(probe, search.m) then
      local cost = measured(probe, search.m, conjuncts)
      if #covers(probe) == #conjuncts then
        local gone = gone_in(search.m, probe)
        present = gone and cost - gone
      elseif #covers(probe) == 0 and probe[1] == 'sorted' then
        present = count_within(path, probe)
      end
    end
  end
  if not present or (kind == 'float' or kind == 'decimal') and present ~= all then return false end
  return present, all
end

local function count_lesser(conjuncts, probes)
  local rest, last = {unpack(conjuncts, 1, #conjuncts - 1)}, conjuncts[#conjuncts]
  local null = last[1] == 'not' and last[2] or last
  if null[1] ~= 'cmp' or null[4] ~= 'null' then return (count_by_index(conjuncts, probes)) end
  local present, all = count_present(null[2], null[3], rest, probes)
  if not present or last ~= null then return present end
  return all - present
end

-- The place of the object of `before`; nil if it is not among them.
local function place_of_object()
  local rows = {}
  prepare()
  prepare_reading(false)
  look({request.before}, rows)
  search.spent = 0
  return rows[1] and call('ZSCORE', search.ids, request.before)
end

local function find_place()
  local place, with = request.before, false
  if type(place) == 'table' then place, with = unpack(place) else place = place_of_object() end
  if not place then return false end
  search.bound, search.with_bound = place, with
  if #search.conjuncts == 0 then
    local bound = (with and '' or '(') .. place
    local low, high = '-inf', bound
    if request.backwards then low, high = bound, '+inf' end
    local before = {'sorted', key = search.ids, most = place + 0, below = not with}
    if request.backwards then before = {'sorted', key = search.ids, least = place + 0, above = not with} end
    search.earlier = call('ZCOUNT', search.ids, low, high) - gone_in(search.m, before)
  end
  search.lesser = {}
  for i, condition in ipairs(request.less or nothing) do
    search.lesser[i] = not search.m.unsure and count_lesser(unpack(condition)) or false
  end
  return true
end

return find_place
