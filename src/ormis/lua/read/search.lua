-- Finds what a request asks for: by the cheapest access path in one call, or, if that would hold the server too long,
-- by several calls.
-- Out: find(), which returns one of
--   'done', count, rows            all there is, in order and cut; no rows if only their number was asked for
--   'keys', keys                   too many for one call: the candidates, to be asked for in batches
--   'walk'                         too many for that: to be asked for step by step
--   'step', after, rows, places    one step or batch done; `after`: the place of the last object looked at, false at
--                                  the end; of a batch how many of its keys were looked at
--   'gone'                         the object whose place is asked for is not among them

local call = require('server.server').call
local KEY = require('server.keys')
local key_part = require('server.key_part')
local score = require('values.scores')
local access_paths = require('read.access_paths')
local path_of, range_of, conjuncts = access_paths.path_of, access_paths.range_of, access_paths.conjuncts
local bounds_of = access_paths.bounds_of
local index_on, member_keys = access_paths.index_on, access_paths.member_keys
local candidates = require('read.candidates')
local search, CHUNK, QUICK, held_long = candidates.search, candidates.CHUNK, candidates.QUICK, candidates.held_long
local prepare, prepare_reading = candidates.prepare, candidates.prepare_reading
local look, look_at_all = candidates.look, candidates.look_at_all
local open_models = require('read.open_models')
local ordering = require('read.ordering')
local creation_order, in_creation_order = ordering.creation_order, ordering.in_creation_order
local in_place, know_order = ordering.in_place, ordering.know_order
local first_of, cut = ordering.first_of, ordering.cut
local request = require('read.request')

local SNAPSHOT = 20000

-- The best of a portion, as many as are asked for in all: the caller merges the portions.
local function best_of(rows)
  if not request.enough or #request.order == 0 or #rows <= request.enough then return rows end
  return cut(first_of(rows, request.enough), 1, request.enough)
end

local function places_in(rows)
  local list = {}
  for i = 1, #rows do list[i] = creation_order[rows[i][1]] end
  return list
end

-- How many keys an index is asked for next: few at first, since few may be enough.
local function more_than(size)
  return math.min(CHUNK, 2 * size)
end

-- One portion of a longer reading: keys that the caller names.
local function portion(parts)
  prepare(parts, {})
  prepare_reading(false)
  local rows, looked, all = {}, 0, #request.keys
  repeat
    local last = math.min(looked + search.chunk, all)
    look({unpack(request.keys, looked + 1, last)}, rows)
    looked = last
  until looked == all or held_long() and request.want ~= 'change'
  if not in_place() then return 'step', looked, rows end
  know_order(rows)
  rows = best_of(rows)
  return 'step', looked, rows, places_in(rows)
end

local function members_after(after, count)
  local start, bound = after and '(' .. after, search.bound and '(' .. search.bound
  local command, low, high = 'ZRANGEBYSCORE', start or '-inf', bound or '+inf'
  if request.backwards then command, low, high = 'ZREVRANGEBYSCORE', start or '+inf', bound or '-inf' end
  if request.places then return call(command, search.ids, low, high, 'WITHSCORES', 'LIMIT', 0, count) end
  return call(command, search.ids, low, high, 'LIMIT', 0, count)
end

-- One portion of a longer reading: the next objects in the order of creation.
local function step(parts)
  prepare(parts, {})
  prepare_reading(true)
  local rows, place, keys = {}, request.after, nil
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
    place = keys[1] and call('ZSCORE', search.ids, keys[#keys]) or place
    search.spent = search.spent + #keys * QUICK
    look(keys, rows)
  until #keys < search.chunk or held_long() or (unordered and #rows >= request.enough)
  rows = best_of(rows)
  return 'step', #keys == search.chunk and place or false, rows, request.places and places_in(rows)
end

-- Walks in the order of creation until the slice is full; nil where the budget ends first.
local function walk_creation(parts, enough)
  prepare(parts, {})
  prepare_reading(true)
  local rows, start, size = {}, 0, math.min(CHUNK, math.max(enough, 10))
  local command = request.backwards and 'ZREVRANGE' or 'ZRANGE'
  repeat
    local keys = call(command, search.ids, start, start + size - 1)
    local more = #keys == size
    look(keys, rows)
    start, size = start + size, more_than(size)
    if search.spent > request.budget then return nil end
  until not more or #rows >= enough
  request.in_order = #request.order == 0
  return rows
end

-- Whether an index has all objects that its prefix allows. It lacks those in which its last field is absent, as that of
-- one declared later is, required or not. What can't be counted is taken to be there where it is required.
local function has_all(found, bounds, nullable)
  local index = found.index
  local prefix = index.prefix
  if #prefix == 0 then return found.cost == call('ZCARD', search.ids) end
  local equal = #prefix == 1 and index_on(search.m, prefix[1], 'equal')
  if equal then
    return found.cost == call('SCARD', equal.base .. equal.name .. '=' .. key_part(bounds[prefix[1]].eq))
  end
  local sorted = #prefix == 1 and index_on(search.m, prefix[1], 'sorted')
  local all = sorted and range_of(sorted, bounds)
  if all and all.exact then return found.cost == all.cost end
  return not nullable
end

-- The sorted index whose order is the first that is asked for, with the range that the condition allows.
local function ordered_range(parts)
  local term, m = request.order[1], search.m
  if not term then return nil end
  local bounds = bounds_of(parts)
  local best
  for i = 1, #m.indexes do
    local index = m.indexes[i]
    if index.complete and index.type ~= 'equal' and index.last == term[1] then
      local found = range_of(index, bounds)
      local bounded = bounds[term[1]] and #bounds[term[1]].parts > 0
      local shorter = found and (not best or found.cost < best.cost)
      if shorter and (bounded or has_all(found, bounds, term[5])) then best = found end
    end
  end
  return best
end

-- Where a row stands in an index: values that stand together there are not in their own order, as large numbers of one
-- score, and texts that go on with a NUL where another ends.
local function stand_in(found, position, kind)
  return function(row)
    local text = row[position]
    if found.text then return text and string.match(text, '^%Z*') end
    return text and score(kind, text)
  end
end

-- Walks an index from the end that is asked for until the slice is full and what stands with its last is in; nil where
-- the budget ends first.
local function walk_index(parts, found, enough)
  prepare(parts, found.exact and found.parts or {})
  prepare_reading(true)
  local position, descending, _, kind = unpack(request.order[1], 1, 4)
  local stand = stand_in(found, position, kind)
  local rows, start, size, full = {}, 0, math.min(CHUNK, math.max(enough + 1, 16)), nil
  local low, high = found.low, found.high
  if descending then low, high = high, low end
  local command = (descending and 'ZREVRANGEBY' or 'ZRANGEBY') .. (found.text and 'LEX' or 'SCORE')
  repeat
    local keys = call(command, found.key, low, high, 'LIMIT', start, size)
    if found.text then keys = member_keys(keys) end
    local more = #keys == size
    look(keys, rows)
    start, size = start + size, more_than(size)
    if search.spent > request.budget then return nil end
    full = #rows > enough and stand(rows[#rows]) ~= stand(rows[enough])
  until not more or full
  return rows
end

local function done(rows)
  if request.want == 'count' then return 'done', #rows, {} end
  local first, count = (request.offset or 0) + 1, #rows
  if in_place() and not request.in_order then
    rows = first_of(rows, request.limit and first - 1 + request.limit or count)
  end
  rows = cut(rows, first, request.limit and first + request.limit - 1 or count)
  return 'done', count, rows
end

-- The first rows by the order that an index or the creation has; nil where that takes too long or another path is
-- shorter.
local function first_rows(parts, cost, all)
  local enough = request.limit and request.limit + (request.offset or 0)
  if not enough or request.want == 'count' then return nil end
  local found = ordered_range(parts)
  local rows
  if #request.order == 0 and enough * all / math.max(cost, 1) < cost then
    search.taken = {by = 'creation', cost = all}
    rows = walk_creation(parts, enough)
  elseif found and enough * found.cost / math.max(cost, 1) <= cost then
    search.taken = {by = 'order', index = found.index, cost = found.cost}
    rows = walk_index(parts, found, enough)
  end
  if not rows then search.spent = 0 end
  return rows
end

-- What the candidates of a path are worth: their rows, or their keys where they are too many for one call.
local function by_path(parts, path)
  prepare(parts, path.exact and path.covered or {})
  prepare_reading(path.exact)
  local keys = path.keys()
  if #keys * (search.must_read and search.price or QUICK * #search.checks) > request.budget then return 'keys', keys end
  if #request.order == 0 and in_place() and not request.in_order then
    local ordered = in_creation_order(keys)
    keys, request.in_order = ordered or keys, ordered ~= nil
  end
  local rows = {}
  look_at_all(keys, rows, request.in_order and request.limit and request.limit + (request.offset or 0))
  return done(rows)
end

local function find()
  search.m = open_models.model_at(1)
  search.ids = search.m.base .. KEY.ids
  local parts = conjuncts(request.where)
  if request.before then
    if not require('read.ranking')(parts) then return 'gone' end
  end
  if request.keys then return portion(parts) end
  if request.step then return step(parts) end
  local path, all = nil, call('ZCARD', search.ids)
  if request.in_parts then
    path = require('read.value_batches')(parts)
  end
  path = path or path_of(search.m, request.where, parts)
  local counting = request.want == 'count'
  local sure = not search.m.unsure
  if counting and sure and #parts == 0 then return 'done', search.earlier or all, {} end
  if counting and sure and not search.bound and path and path.exact and not path.several
    and #path.covered == #parts then
    search.taken = path
    return 'done', path.cost, {}
  end
  local cost = path and path.cost or all
  local rows = first_rows(parts, cost, all)
  if rows then return done(rows) end
  if path and cost <= SNAPSHOT then
    search.taken = path
    return by_path(parts, path)
  end
  search.taken = {by = 'all', cost = all}
  prepare(parts, {})
  prepare_reading(true)
  local price = (search.must_read and search.price or 0) + QUICK * (#search.checks + 1)
  if all * price > request.budget then return 'walk' end
  request.budget = math.huge
  return done(walk_creation(parts, all + 1))
end

return find
