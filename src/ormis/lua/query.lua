--@include access
-- Answers a query on one model, or says how to go on where one call is not enough.
-- KEYS[1]  ormis/models
-- ARGV[1]  the partition tag; ARGV[2] the request; then a shape and a declaration per model, that of the query first
-- The request: {want = 'rows' | 'count' | 'keys', where = condition, columns = {position, ...},
--   order = {{position, descending, nulls_first, kind, nullable}, ...}
--                                  then the order of creation, descending where `backwards`
--   offset, limit,
--   keys = {pk, ...}               look at these objects only, or
--   after, step, places            at the next objects in the order of creation (`backwards`: from the end); `places`:
--                                  say where each stands in it
--   budget                         how many objects one call may look at}
-- Returns {answer} or {answer, packed rows, packed places}; the answer is one of
--   {'ok', 'done', count}          all there is
--   {'ok', 'keys', {pk, ...}}      too many for one call: the keys of the candidates, to be asked for in portions
--   {'ok', 'walk'}                 too many for that: to be asked for step by step
--   {'ok', 'step', place, count}   one step done; place of the last object looked at, false at the end

local CHUNK = 200
local SNAPSHOT = 20000
local QUICK = 0.1   -- what a look at an index costs, a look at an object being 1

local request = cmsgpack.unpack(ARGV[2])
local budget = request.budget
local m, ids, holds, columns, checks, spent

-- Looking at candidates ----------------------------------------------------------------------------------------------

-- A quick check of many keys at once by an index: {index command, key, accept}; nil where there is none.
local function quick_check(part)
  if part[1] ~= 'cmp' or part[2] == 1 then return nil end
  if part[4] == 'eq' and not loose[part[3]] then
    local index = index_on(m, part[2], 'equal')
    if index then
      return {command = 'SMISMEMBER', key = index.base .. index.name .. '=' .. short(part[5]), accepts = function(found)
        return found == 1
      end}
    end
  end
  local index = index_on(m, part[2], 'sorted')
  if not index or not operators[part[4]] or part[3] == 'decimal' or not exact(part[3], part[5]) then return nil end
  local operator, number = part[4], score(part[3], part[5])
  return {command = 'ZMSCORE', key = index.base .. index.name, accepts = function(found)
    local own = found and tonumber(found)
    if not own then return false end
    if operator == 'eq' then return own == number end
    if operator == 'lt' then return own < number end
    if operator == 'lte' then return own <= number end
    if operator == 'gt' then return own > number end
    return operator == 'gte' and own >= number
  end}
end

-- Splits the condition into quick checks and what has to be read; `used` are the conjuncts that the way settles
-- already.
local function prepare(parts, used)
  local rest, settled = {'and'}, {}
  checks, columns = {}, {}
  for _, i in ipairs(used) do settled[i] = true end
  for i = 1, #parts do
    if not settled[i] then
      local check = quick_check(parts[i])
      if check then checks[#checks + 1] = check else rest[#rest + 1] = parts[i] end
    end
  end
  holds = #rest > 1 and compile(m, rest, columns) or nil
end

local function sift(keys, check)
  local found, kept = call(check.command, check.key, unpack(keys)), {}
  for i = 1, #keys do
    if check.accepts(found[i]) then kept[#kept + 1] = keys[i] end
  end
  return kept
end

local fetch_names, fetch_at, must_read, direct

-- Which columns have to be read of each candidate: those of the condition, the order and the result. Where they are all
-- of the model's, what HMGET returns is the row itself.
local function prepare_reading(way_is_sure)
  local wanted, count = {[1] = true}, 0
  for position in pairs(columns) do wanted[position] = true end
  for _, term in ipairs(request.order) do wanted[term[1]] = true end
  if request.want == 'rows' then
    for _, position in ipairs(request.columns) do wanted[position] = true end
  end
  fetch_names, fetch_at = {}, {}
  for position = 1, #m.columns do
    if wanted[position] then
      count = count + 1
      fetch_names[count], fetch_at[count] = m.columns[position], position
    end
  end
  direct = count == #m.columns
  must_read = count > 1 or request.want == 'rows' or not way_is_sure
end

-- The rows among these keys (at most CHUNK) that meet the condition; {pk} alone where nothing has to be read.
local function look(keys, into)
  for i = 1, #checks do
    if #keys > 0 then
      spent = spent + #keys * QUICK
      keys = sift(keys, checks[i])
    end
  end
  if not must_read then
    for i = 1, #keys do into[#into + 1] = {keys[i]} end
    return
  end
  local base, width, names, at, count = m.base .. ':', #fetch_at, fetch_names, fetch_at, #into
  for i = 1, #keys do
    local row = call('HMGET', base .. keys[i], unpack(names, 1, width))
    if row[1] then
      if not direct then
        local texts = row
        row = {}
        for j = 1, width do row[at[j]] = texts[j] end
      end
      if not holds or holds(row, keys[i]) then
        count = count + 1
        into[count] = row
      end
    end
  end
  spent = spent + #keys
end

local function look_at_all(keys, into)
  if #keys <= CHUNK then return look(keys, into) end
  for first = 1, #keys, CHUNK do
    look({unpack(keys, first, math.min(first + CHUNK - 1, #keys))}, into)
  end
end

-- Order --------------------------------------------------------------------------------------------------------------

local function set_places(rows)
  for first = 1, #rows, CHUNK do
    local last = math.min(first + CHUNK - 1, #rows)
    local keys = {}
    for i = first, last do keys[#keys + 1] = rows[i][1] end
    local places = call('ZMSCORE', ids, unpack(keys))
    for i = first, last do rows[i].place = tonumber(places[i - first + 1] or 0) end
  end
end

local function by_term(term)
  local position, descending, nulls_first, kind = term[1], term[2], term[3], term[4]
  return function(a, b)
    local x, y = a[position], b[position]
    if not x or not y then
      if not x and not y then return 0 end
      return ((not x) == nulls_first) and -1 or 1
    end
    local order = compare(kind, x, y)
    if not order then
      -- What has no order, NaN and what is no value of the kind, comes after all else.
      local odd_x, odd_y = compare(kind, x, x) == nil, compare(kind, y, y) == nil
      order = odd_x == odd_y and 0 or odd_x and 1 or -1
    end
    return descending and -order or order
  end
end

local function sort(rows)
  local terms = {}
  for i, term in ipairs(request.order) do terms[i] = by_term(term) end
  local sign = request.backwards and -1 or 1
  table.sort(rows, function(a, b)
    for i = 1, #terms do
      local order = terms[i](a, b)
      if order ~= 0 then return order < 0 end
    end
    return (a.place - b.place) * sign < 0
  end)
end

-- Answers ------------------------------------------------------------------------------------------------------------

-- Rows as one MessagePack text. cmsgpack writes an absent text as false and can't be told to write nil inside a
-- table, so a row with one is packed from its values; runs of rows without are packed at once, less the head of their
-- array.
local function pack_rows(rows, first, last)
  local positions = request.columns
  local width, all = #positions, direct
  for j = 1, width do all = all and positions[j] == j end
  local head = width < 16 and string.char(0x90 + width) or string.char(0xdc, math.floor(width / 256), width % 256)
  local count = math.max(0, last - first + 1)
  local parts, run, length = {'\221' .. struct.pack('>I4', count)}, {}, 0
  local function flush()
    if length > 0 then
      parts[#parts + 1] = string.sub(cmsgpack.pack(run), length < 16 and 2 or 4)
      run, length = {}, 0
    end
  end
  for i = first, last do
    local row, whole = rows[i], true
    if not all or width < #row then
      local values = {}
      for j = 1, width do values[j] = row[positions[j]] end
      row = values
    end
    for j = 1, width do
      if not row[j] then
        row[j] = nil
        whole = false
      end
    end
    if whole then
      length = length + 1
      run[length] = row
      if length == 1000 then flush() end
    else
      flush()
      parts[#parts + 1] = head
      parts[#parts + 1] = cmsgpack.pack(unpack(row, 1, width))
    end
  end
  flush()
  return table.concat(parts)
end

local function reply(rows, first, last, places, ...)
  local head = cmsgpack.pack({'ok', ...})
  if request.want == 'count' then return {head} end
  if request.want == 'keys' then request.columns = {1} end
  return {head, pack_rows(rows, first, last), places and cmsgpack.pack(places) or ''}
end

local function finish(rows)
  if request.want == 'count' then return reply(rows, 1, 0, nil, 'done', #rows) end
  if #request.order > 0 or not request.in_order then
    set_places(rows)
    sort(rows)
  end
  local first = (request.offset or 0) + 1
  local last = request.limit and math.min(#rows, first + request.limit - 1) or #rows
  for i = 1, #rows do rows[i].place = nil end
  return reply(rows, first, last, nil, 'done', #rows)
end

-- Ways through -------------------------------------------------------------------------------------------------------

-- One portion of a longer reading: keys that the caller names.
local function portion(parts)
  prepare(parts, {})
  prepare_reading(false)
  local rows = {}
  look_at_all(request.keys, rows)
  set_places(rows)
  local places = {}
  for i = 1, #rows do places[i], rows[i].place = rows[i].place, nil end
  return reply(rows, 1, #rows, places, 'step', false, #rows)
end

local function members_after(after, count)
  if request.backwards then
    return call('ZREVRANGEBYSCORE', ids, after and '(' .. after or '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, count)
  end
  return call('ZRANGEBYSCORE', ids, after and '(' .. after or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, count)
end

-- One portion of a longer reading: the next objects in the order of creation.
local function step(parts)
  prepare(parts, {})
  prepare_reading(true)
  local rows, place, keys, place_of = {}, request.after, nil, {}
  repeat
    local found = members_after(place, CHUNK)
    keys = {}
    for i = 1, #found, 2 do
      keys[(i + 1) / 2] = found[i]
      if request.places then place_of[found[i]] = tonumber(found[i + 1]) end
    end
    place = found[#found] or place
    spent = spent + #keys * QUICK
    look(keys, rows)
  until #keys < CHUNK or spent >= budget or (request.enough and #rows >= request.enough)
  local places = request.places and {}
  for i = 1, places and #rows or 0 do places[i] = place_of[rows[i][1]] end
  return reply(rows, 1, #rows, places, 'step', #keys == CHUNK and place or false, #rows)
end

-- Walks in the order of creation until the slice is full; nil where the budget ends first.
local function walk_creation(parts, enough)
  prepare(parts, {})
  prepare_reading(true)
  local rows, start, size = {}, 0, math.min(CHUNK, math.max(enough, 10))
  local command = request.backwards and 'ZREVRANGE' or 'ZRANGE'
  repeat
    local keys = call(command, ids, start, start + size - 1)
    local more = #keys == size
    look(keys, rows)
    start, size = start + size, CHUNK
    if spent > budget then return nil end
  until not more or #rows >= enough
  request.in_order = #request.order == 0
  return rows
end

-- The sorted index whose order is the first that is asked for, with the stretch that the condition allows.
local function ordered_stretch(parts)
  local term = request.order[1]
  if not term then return nil end
  local bounds = bounds_of(parts)
  local best
  for i = 1, #m.indexes do
    local index = m.indexes[i]
    if index.complete and index.type ~= 'equal' and index.last == term[1] then
      local found = stretch(index, bounds)
      local bounded = bounds[term[1]] and #bounds[term[1]].parts > 0
      local whole = found and (bounded or not term[5] or #index.prefix == 0 and found.cost == call('ZCARD', ids))
      if whole and (not best or found.cost < best.cost) then best = found end
    end
  end
  return best
end

-- Walks an index from the end that is asked for until the slice is full and the last value's ties are in; nil where the
-- budget ends first.
local function walk_index(parts, found, enough)
  prepare(parts, found.exact and found.parts or {})
  prepare_reading(true)
  local descending = request.order[1][2]
  local same = by_term(request.order[1])
  local rows, start, size, full = {}, 0, math.min(CHUNK, math.max(enough + 1, 16)), nil
  repeat
    local keys
    if found.text then
      local command = descending and 'ZREVRANGEBYLEX' or 'ZRANGEBYLEX'
      local low, high = found.low, found.high
      if descending then low, high = high, low end
      keys = member_keys(call(command, found.key, low, high, 'LIMIT', start, size))
    else
      local command = descending and 'ZREVRANGEBYSCORE' or 'ZRANGEBYSCORE'
      local low, high = found.low, found.high
      if descending then low, high = high, low end
      keys = call(command, found.key, low, high, 'LIMIT', start, size)
    end
    local more = #keys == size
    look(keys, rows)
    start, size = start + size, CHUNK
    if spent > budget then return nil end
    full = #rows > enough and same(rows[#rows], rows[enough]) ~= 0
  until not more or full
  return rows
end

local function total()
  return call('ZCARD', ids)
end

local function answer_query()
  m = model_at(1)
  ids, spent = m.base .. '/ids', 0
  local parts = conjuncts(request.where)
  if request.keys then return portion(parts) end
  if request.step then return step(parts) end
  local way = way_of(m, request.where)
  local all, counting = total(), request.want == 'count'
  if counting and #parts == 0 then return reply({}, 1, 0, nil, 'done', all) end
  if counting and way and way.exact and #way.used == #parts then return reply({}, 1, 0, nil, 'done', way.cost) end
  local cost = way and way.cost or all
  local enough = request.limit and request.limit + (request.offset or 0)
  if enough and not counting then
    local found = ordered_stretch(parts)
    local rows
    if #request.order == 0 and enough * all / math.max(cost, 1) < cost then
      rows = walk_creation(parts, enough)
    elseif found and enough * found.cost / math.max(cost, 1) <= cost then
      rows = walk_index(parts, found, enough)
    end
    if rows then return finish(rows) end
    spent = 0
  end
  if way and cost <= SNAPSHOT then
    local keys = way.keys()
    prepare(parts, way.exact and way.used or {})
    prepare_reading(way.exact)
    local price = must_read and 1 or QUICK * #checks
    if #keys * price > budget then return {cmsgpack.pack({'ok', 'keys', keys})} end
    local rows = {}
    look_at_all(keys, rows)
    return finish(rows)
  end
  prepare(parts, {})
  prepare_reading(true)
  if all * ((must_read and 1 or 0) + QUICK * (#checks + 1)) > budget then return {cmsgpack.pack({'ok', 'walk'})} end
  budget = math.huge
  return finish(walk_creation(parts, all + 1))
end

local done, result = pcall(answer_query)
if done then return result end
return answer(function() error(result, 0) end)
