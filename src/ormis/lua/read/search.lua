-- Runs the search of a request: by the cheapest access path in one call, or, if that would hold the server too long,
-- by several calls.
-- Out: find(), which returns one of
--   'done', count, rows, places    all there is, in order and cut; no rows if only their number was asked for
--   'keys', keys, nil, behind      too many for one call: the candidates, to be asked for in batches; with `behind`,
--                                  {name of an index, member}, the first of them: others stand behind it
--   'walk'                         too many for that: to be asked for step by step
--   'step', after, rows, places    one step or batch done; `after`: the place of the last object looked at, false at
--                                  the end; of a batch how many of its keys were looked at
--   in the last three the texts may have been too long for one call, see bytes.lua
--   'gone'                         the object whose place is asked for is not among them

local call = require('server.call')
local KEY = require('server.keys')
local extend = require('server.lists').extend
local access_paths = require('read.access_paths')
local choose, measured, usable = access_paths.choose, access_paths.measured, access_paths.usable
local bounded, covers = access_paths.bounded, access_paths.covers
local sifting = require('read.sift')
local keys_of, walk = sifting.keys_of, sifting.walk
local candidates = require('read.candidates')
local search, CHUNK, QUICK, held_long = candidates.search, candidates.CHUNK, candidates.QUICK, candidates.held_long
local prepare, prepare_reading = candidates.prepare, candidates.prepare_reading
local look, look_at_all = candidates.look, candidates.look_at_all
local open_models = require('read.open_models')
local model_at, gone_in = open_models.model_at, open_models.gone_in
local in_creation_order = require('read.creation_order').in_creation_order
local ordering = require('read.ordering')
local creation_order = ordering.creation_order
local in_place, know_order = ordering.in_place, ordering.know_order
local first_of, cut = ordering.first_of, ordering.cut
local planned = require('read.plan')
local plan, value_of = planned.plan, planned.bound
local full = require('read.bytes').full
local request = require('read.request')

local SNAPSHOT = 20000

-- The best of a portion, as many as are asked for in all: the caller merges the portions.
local function best_of(rows)
  if not request.enough or #request.order == 0 or #rows <= request.enough then return rows end
  return cut(first_of(rows, request.enough), 1, request.enough)
end

-- The rows with their hashes read, if they have only keys so far; nil if one of these is not there. Rows that are too
-- long for one call are left out: the caller asks for the keys of the best ones first.
local function with_hashes(rows)
  if search.keyed and not search.read(rows) then
    if full() then return {} end
    search.keyed = false
    return nil
  end
  return rows
end

local function places_in(rows)
  local list = {}
  for i = 1, #rows do list[i] = creation_order[rows[i][1]] end
  return list
end

local find, portion, step

-- One portion of a longer reading: keys that the caller names.
function portion()
  prepare()
  prepare_reading(false)
  local rows, looked, all = {}, 0, #request.keys
  repeat
    local keys = {unpack(request.keys, looked + 1, math.min(looked + search.chunk, all))}
    local stopped, count = look(keys, rows), #keys
    while stopped and keys[count] ~= stopped do count = count - 1 end
    looked = looked + count
  until looked == all or full() or held_long() and request.want ~= 'change'
  if not in_place() then return 'step', looked, rows end
  know_order(rows)
  rows = with_hashes(best_of(rows))
  if not rows then return portion() end
  return 'step', looked, rows, places_in(rows)
end

local function members_after(after, count)
  local start, bound = after and '(' .. after, search.bound and (search.with_bound and '' or '(') .. search.bound
  local command, low, high = 'ZRANGEBYSCORE', start or '-inf', bound or '+inf'
  if request.backwards then command, low, high = 'ZREVRANGEBYSCORE', start or '+inf', bound or '-inf' end
  if request.places then return call(command, search.ids, low, high, 'WITHSCORES', 'LIMIT', 0, count) end
  return call(command, search.ids, low, high, 'LIMIT', 0, count)
end

-- Adds up objects in the order of creation, from a place on, until the call has held the server long or all are done.
-- Returns their place and whether there are more, nil if the server refuses to read so many objects at once.
local function fold_on(place, all)
  local start, looked = place and call('ZCOUNT', search.ids, '-inf', place) or 0, nil
  repeat
    looked = search.fold_range(start, search.chunk)
    if not looked then return nil end
    start = start + looked
  until looked < search.chunk or full() or not all and held_long()
  if looked < search.chunk then return false end
  return call('ZRANGE', search.ids, start - 1, start - 1, 'WITHSCORES')[2]
end

-- One portion of a longer reading: the next objects in the order of creation.
function step()
  prepare()
  prepare_reading(true)
  local folded_to = search.fold_range and fold_on(request.after)
  if folded_to ~= nil then return 'step', folded_to, {} end
  local rows, place, keys, last = {}, request.after, nil, false
  local unordered = request.enough and #request.order == 0
  repeat
    local found = members_after(place, search.chunk)
    keys = found
    if request.places then
      keys = {}
      for i = 1, #found, 2 do
        keys[(i + 1) / 2] = found[i]
        creation_order[found[i]] = tonumber(found[i + 1])
      end
    end
    search.spent = search.spent + #keys * QUICK
    local stopped = look(keys, rows)
    last = not stopped and #keys < search.chunk
    place = keys[1] and call('ZSCORE', search.ids, stopped or keys[#keys]) or place
  until last or held_long() or (unordered and #rows >= request.enough)
  rows = with_hashes(best_of(rows))
  if not rows then return step() end
  return 'step', not last and place, rows, request.places and places_in(rows)
end

-- How many objects come before the place in the order of creation that a condition names, see predicates.lua.
local function passed()
  for _, part in ipairs(search.conjuncts) do
    if part[1] == 'created' and part[3] == request.backwards then
      if part[3] then return call('ZCOUNT', search.ids, '(' .. part[2], '+inf') end
      return call('ZCOUNT', search.ids, '-inf', '(' .. part[2])
    end
  end
  return 0
end

-- How many of the first objects in the order of a walk the slice leaves out, if each of them counts.
local function left_out()
  local all = not (search.m.unsure or search.m.gone or search.bound or search.holds or search.checks[1])
  local reads = request.want == 'rows' or request.want == 'keys'
  return all and reads and request.offset or 0
end

-- Walks in the order of creation until the slice is full; nil where the budget, or that of bytes, ends first.
local function walk_creation(enough)
  prepare()
  prepare_reading(true)
  if #search.conjuncts == 0 and #request.order == 0 then search.skipped = left_out() end
  local folded_to = search.fold_range and fold_on(nil, true)
  if folded_to then return nil end
  if folded_to == false then return {} end
  local rows, start = {}, passed() + search.skipped
  enough = enough - search.skipped
  local size = math.min(CHUNK, math.max(enough, 10))
  local command = request.backwards and 'ZREVRANGE' or 'ZRANGE'
  repeat
    local keys = call(command, search.ids, start, start + size - 1)
    local more = #keys == size
    if search.keyed then
      -- Any numbers that grow will do, to compare rows of one call.
      for i = 1, #keys do creation_order[keys[i]] = request.backwards and -start - i or start + i end
    end
    if look(keys, rows, enough) then return nil end
    start, size = start + size, math.min(CHUNK, 2 * size)
    if search.spent > request.budget or more and full() and #rows < enough then return nil end
  until not more or #rows >= enough
  request.in_order = #request.order == 0
  return rows
end

-- Whether an index has all objects that its prefix allows. It lacks those in which its last field is absent, as that of
-- one declared later is, required or not. What can't be counted is taken to be there if it is required.
local function has_all(probe, nullable)
  local last = search.m.indexes[probe[2]].last
  for _, part in ipairs(nullable and search.conjuncts or {}) do
    local null = part[1] == 'not' and part[2]
    if null and null[1] == 'cmp' and null[4] == 'null' and null[2] == last then return true end
  end
  if #probe == 5 then return probe.cost == call('ZCARD', search.ids) end
  for _, other in ipairs(#probe == 7 and search.probes or {}) do
    local covered = covers(other)
    if bounded(other) and other.cost and other.exact and #covered == 1 and covered[1] == probe[7] then
      return probe.cost == other.cost
    end
  end
  return not nullable
end

-- The probe of an index whose order is the first that is asked for.
local function ordered_probe()
  local term, m, best = request.order[1], search.m, nil
  for _, probe in ipairs(term and search.probes or {}) do
    local ranged = probe[1] == 'sorted' or probe[1] == 'text'
    if ranged and usable(probe, m) and m.indexes[probe[2]].last == (term[6] or term[1]) then
      local cost = measured(probe, m, search.conjuncts)
      if (not best or cost < best.cost) and (bounded(probe) or has_all(probe, term[5])) then best = probe end
    end
  end
  return best
end

-- The keys without those that stand at the place from which a walk begins and are not behind it. ties: as query.lua has
-- them, of a condition in which nothing else is left to check.
local function behind_ties(keys, stands, from, ties)
  local tied, rank, kept = {}, tonumber(value_of(ties[2])), {}
  for i = 1, #keys do
    if tonumber(stands[keys[i]]) ~= from then break end
    tied[i] = keys[i]
  end
  if #tied == 0 then return keys end
  for i, place in ipairs(require('read.creation_order').creation_order_of(search.ids, tied)) do
    if place == rank and ties[4] or place ~= rank and (place < rank) == ties[3] then kept[#kept + 1] = tied[i] end
  end
  for i = #tied + 1, #keys do kept[#kept + 1] = keys[i] end
  return kept
end

-- Whether a walk from this score begins at the place that `ties` are about. It may begin before it, at the bound of
-- another condition, if nothing stands between them.
local function begins_at(from, ties)
  local part = search.conjuncts[ties[1]]
  return tonumber(require('values.scores')(part[3], value_of(part[5]))) == from
end

-- Walks an index from one end until the slice is full, ties of its last included; nil if the
-- budget ends first.
local function walk_index(probe, enough)
  local descending = request.order[1][2]
  local from = descending and probe.most or probe.least
  local ties = probe.exact and bounded(probe) and request.ties
  if ties and not begins_at(from, ties) then ties = nil end
  prepare(probe, ties and ties[1])
  prepare_reading(true)
  local filtered = #search.checks > 0 or search.holds
  local offset = ties and 0 or left_out()
  if offset > 0 then
    local rest, before = require('read.skipping')(probe, descending, offset)
    if not rest then return nil end
    probe, search.skipped, enough = rest, before, enough - before
  end
  return (walk(probe, descending, enough, function(keys, rows, stands)
    if ties then keys = behind_ties(keys, stands, from, ties) end
    local first = 1
    while first <= #keys do
      -- Where all are kept, those behind the last one need not be read.
      local left = enough + 1 - #rows
      if left <= 0 and not filtered and stands[rows[#rows][1]] ~= stands[rows[enough][1]] then break end
      local last = filtered and #keys or math.min(#keys, first + math.max(left, 4) - 1)
      if full() or look({unpack(keys, first, last)}, rows) then return false end
      first = last + 1
    end
    -- A claim takes any of many objects that stand at one place in the order.
    return search.spent <= request.budget or request.want == 'claim' and #rows >= enough and 'enough'
  end, ties and 1))
end

-- Where the rows stand in the order of creation, if that is asked for.
local function known_places(rows)
  if not request.places or #rows == 0 then return nil end
  know_order(rows)
  return places_in(rows)
end

local function done(rows)
  if request.want == 'count' then return 'done', #rows, {} end
  local first, count = (request.offset or 0) - search.skipped + 1, #rows
  if in_place() and not request.in_order then
    rows = first_of(rows, request.limit and first - 1 + request.limit or count)
  end
  rows = with_hashes(cut(rows, first, request.limit and first + request.limit - 1 or count))
  if not rows then return find() end
  if search.keyed and full() then return 'walk' end
  return 'done', search.skipped + count, rows, known_places(rows)
end

-- The first rows by the order that an index or the creation has; nil where that takes too long or another path is
-- shorter.
local function first_rows(cost, all)
  local enough = request.limit and request.limit + (request.offset or 0)
  if not enough or request.want == 'count' then return nil end
  local probe = ordered_probe()
  local rows
  if #request.order == 0 and enough * all / math.max(cost, 1) < cost then
    search.taken = {by = 'creation', cost = all}
    rows = walk_creation(enough)
  elseif probe and enough * probe.cost / math.max(cost, 1) <= cost then
    search.taken = {by = 'order', probe = probe, cost = probe.cost}
    rows = walk_index(probe, enough)
  end
  if not rows then search.spent, search.skipped = 0, 0 end
  return rows
end

-- The keys of an index on text behind those that the call before has read.
local function keys_behind(name, member)
  for _, probe in ipairs(search.probes) do
    if probe[1] == 'text' and probe[3] == name and bounded(probe) and usable(probe, search.m) then
      measured(probe, search.m, search.conjuncts)
      probe.in_parts, probe.low = true, '(' .. member
      local keys, behind = keys_of(probe)
      return 'keys', keys, nil, behind and {name, behind}
    end
  end
  return 'walk'
end

-- The results among the candidates of a path: their rows, or their keys if they are too many for one call.
local function by_path(path)
  path.in_parts = request.want ~= 'change'
  prepare(path)
  prepare_reading(path.exact)
  local keys, behind = keys_of(path)
  if behind then return 'keys', keys, nil, {path[3], behind} end
  if #keys * (search.must_read and search.price or QUICK * #search.checks) > request.budget then return 'keys', keys end
  if #request.order == 0 and in_place() and not request.in_order then
    local ordered = in_creation_order(search.ids, keys, request.backwards)
    keys, request.in_order = ordered or keys, ordered ~= nil
  end
  local rows = {}
  local enough = request.in_order and request.limit and request.limit + (request.offset or 0)
  if full() or not look_at_all(keys, rows, enough) then return 'keys', keys end
  return done(rows)
end

function find()
  search.m, search.conjuncts, search.probes = model_at(1), plan[4], {unpack(plan, 5)}
  search.ids, search.skipped = search.m.base .. KEY.ids, 0
  extend(search.probes, request.probes)
  if request.before and not require('read.ranking')() then return 'gone' end
  if request.keys then return portion() end
  if request.step then return step() end
  if request.behind then return keys_behind(unpack(request.behind)) end
  local conjuncts, all = #search.conjuncts, call('ZCARD', search.ids)
  local path = request.in_parts and require('read.value_batches')()
    or choose(search.m, search.conjuncts, search.probes)
  if request.aggregate and require('read.index_ends')(path) then
    search.taken = path or {by = 'all', cost = all}
    return 'done', 0, {}
  end
  local counting = request.want == 'count' and not search.m.unsure
  if counting and conjuncts == 0 then
    return 'done', search.earlier or all - gone_in(search.m, {'sorted', key = search.ids}), {}
  end
  if counting and not search.bound and path and path.exact and not path.several and #covers(path) == conjuncts then
    local gone = gone_in(search.m, path)
    if gone then
      search.taken = path
      return 'done', path.cost - gone, {}
    end
  end
  local cost = path and path.cost or all
  local rows = first_rows(cost, all)
  if rows then return done(rows) end
  if path and cost <= SNAPSHOT then
    search.taken = path
    return by_path(path)
  end
  search.taken = {by = 'all', cost = all}
  prepare()
  prepare_reading(true)
  local price = (search.must_read and search.price or 0) + QUICK * (#search.checks + 1)
  if all * price > request.budget then return 'walk' end
  request.budget = math.huge
  rows = not full() and walk_creation(all + 1)
  if not rows then return 'walk' end
  return done(rows)
end

return find
