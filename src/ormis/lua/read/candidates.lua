-- Looks at candidates: which of some keys are objects that meet the condition, as rows. A row has the texts that were
-- read by column position, columns of related objects from 1001 on.
-- Out: search, the state of the call: m, ids, conjuncts, probes, spent, checks, columns, holds, chunk, price, names,
--      at, long, stride, row_by_row, direct, fill, appends, must_read, complete, functions of rows, `read` and `count`,
--      keyed, walks, skipped, fold, fold_keys and fold_range (see aggregation.lua), and of others bound, with_bound,
--      earlier, lesser, values, taken; CHUNK; QUICK; held_long(); prepare(path|nil, settled|nil);
--      prepare_reading(path_is_sure); look(keys, into, enough|nil), which returns the last key that it looked at if it
--      left some, since the texts are too long for one call; look_at_all(keys, into, enough), false if it left some;
--      pack_wanted(rows, positions).

local server = require('server.server')
local call, pcommand = server.call, server.pcommand
local KEY = require('server.keys')
local nothing = require('server.lists').nothing
local pack_rows = require('server.pack_rows')
local access_paths = require('read.access_paths')
local bounded, covers, usable = access_paths.bounded, access_paths.covers, access_paths.usable
local locate = require('read.probes').locate
local sift = require('read.sift').sift
local held = require('server.held_long')
local models = require('model.models')
local open_models = require('read.open_models')
local reading = require('read.bytes')
local bytes, full = reading.bytes, reading.full
local request = require('read.request')

local CHUNK, DEEP_CHUNK = 200, 20
local QUICK = 0.1   -- cost of a look at an index, relative to a look at an object
local SCORED, SCORED_CHUNK = 0.2, 1000  -- the same for objects whose scores alone are added up
local LONG_CHUNK = 100  -- objects of which texts of any length are read at once

local search = {spent = 0}

-- Whether this call has held the server for so long, or read so much, that what is left should go into another one.
local function held_long()
  return full() or held()
end

-- Whether objects come before a place in the order of creation, or behind it if that is turned round.
local function place_check()
  local place, without = tonumber(search.bound), not search.with_bound
  if request.backwards then return {'sorted', key = search.ids, least = place, above = without} end
  return {'sorted', key = search.ids, most = place, below = without}
end

-- Splits the condition into what the path covers, what other indexes can check of many keys at once, and what has to be
-- read. settled: the number of a conjunct that the caller checks.
local function prepare(path, settled)
  local m, conjuncts, probes, rest, done = search.m, search.conjuncts, search.probes, {'and'}, {}
  local checks = {}
  search.checks, search.columns, search.walks = checks, {}, not (path or request.keys or search.bound)
  for _, i in ipairs(path and path.exact and covers(path) or nothing) do done[i] = true end
  if settled then done[settled] = true end
  for p = 1, #probes do
    local probe, news = probes[p], false
    local by_index = probe ~= path and (probe[1] == 'equal' or probe[1] == 'sorted') and bounded(probe)
    for _, i in ipairs(by_index and usable(probe, m) and covers(probe) or nothing) do news = news or not done[i] end
    if news and not probe.key then locate(probe, m.base, conjuncts) end
    if news and probe.exact then
      checks[#checks + 1] = probe
      for _, i in ipairs(covers(probe)) do done[i] = true end
    end
  end
  for i = 1, #conjuncts do
    if not done[i] then rest[#rest + 1] = conjuncts[i] end
  end
  if search.bound and not request.step then checks[#checks + 1] = place_check() end
  search.holds = #rest > 1 and require('read.predicates')(m, rest, search.columns) or nil
  search.chunk = math.min(open_models.asks_others and DEEP_CHUNK or CHUNK, request.most or CHUNK)
end

-- Completes rows with the columns of related objects that the result alone needs. Returns false if these are too long
-- for one call.
function search.complete(_rows) return true end

local join_early, join_sorted

-- Whether the order is by numbers of related objects alone, which sets tell: then the hashes of the first rows only are
-- read, once they are known.
local function ordered_by_counts()
  if request.want ~= 'rows' or not (request.limit or request.enough) then return false end
  if not request.joins or #request.order == 0 then return false end
  local counts = {[1] = true}
  for _, join in ipairs(request.joins) do
    if not join[6] or join[1] ~= 1 then return false end
    counts[join[4]] = true
  end
  for _, term in ipairs(request.order) do
    if not counts[term[1]] then return false end
  end
  return true
end

-- Whether the result is all columns, in their order, followed by columns of related objects that nothing else needs.
local function appends_counts()
  if request.want ~= 'rows' or not request.joins or request.sorted > 0 then return false end
  local positions, width = request.columns, #search.m.columns
  for i = 1, width do
    if positions[i] ~= i then return false end
  end
  for j, join in ipairs(request.joins) do
    if positions[width + j] ~= join[4] then return false end
  end
  return #positions == width + #request.joins
end

-- Whether each row of a portion or step is one of the result: then what belongs to it is read with it, so that the
-- portion ends where the texts are too long for one call.
local function row_by_row()
  return request.want == 'rows' and (request.keys or request.step) and not (request.enough and #request.order > 0)
end

-- Where the numbers of related objects stand: beside the key in rows that have no more, otherwise behind all columns.
local function place_counts()
  for j, join in ipairs(request.joins or nothing) do
    local from, to = join[4], search.count and 1 + j or join.at or join[4]
    for _, term in ipairs(from ~= to and request.order or nothing) do
      if term[1] == from then term[1] = to end
    end
    join.at, join[4] = join.at or from, to
  end
end

-- Reads the hashes of rows that have keys and counts only. Returns false if one is not there, or the texts are too long
-- for one call.
function search.read(rows)
  local base, names, at = search.m.base .. KEY.object, search.names, search.at
  for i = 1, #rows do
    if full() then return false end
    local texts = call('HMGET', base .. rows[i][1], unpack(names))
    if not texts[1] then return false end
    reading.add(texts)
    local row = {}
    for _, join in ipairs(request.joins or nothing) do row[join.at] = tostring(rows[i][join[4]]) end
    for j = 1, #at do row[at[j]] = texts[j] end
    if search.fill then search.fill(row) end
    rows[i] = row
  end
  return true
end

-- Which columns have to be read of each candidate: those of the condition, the order and the result. Where they are all
-- of the model's, what HMGET returns is the row itself.
local function prepare_reading(path_is_sure)
  local wanted, count, m = {[1] = true}, 0, search.m
  for position in pairs(search.columns) do wanted[position] = true end
  for _, term in ipairs(request.order) do wanted[term[1]] = true end
  if request.want == 'aggregate' then
    local aggregation = require('read.aggregation')
    aggregation.open(m, wanted)
    search.fold = aggregation.fold
  end
  search.fill = models.filler(m, wanted)
  if request.want == 'rows' then
    for _, position in ipairs(request.columns) do wanted[position] = true end
    for _, spec in ipairs(request.related or nothing) do
      if spec[1] == 0 then wanted[spec[2]] = true end
    end
  end
  local sure = path_is_sure and not (search.holds or m.unsure)
  search.keyed = search.keyed ~= false and sure and ordered_by_counts()
  search.row_by_row = row_by_row()
  local others = #(request.joins or nothing) + #(request.related or nothing)
  if request.joins then
    local related_columns = require('read.related_columns')
    for _, join in ipairs(request.joins) do wanted[join[1]] = true end
    local sorted = search.row_by_row and #request.joins or request.sorted
    join_early, join_sorted, search.complete =
      related_columns.prepare_joins(request.joins, request.early, sorted, search.keyed)
  end
  local names, at, long = {}, {}, {}
  for _, position in ipairs(request.long) do
    if wanted[position] then long[#long + 1] = position end
  end
  for position = 1, #m.columns do
    if wanted[position] then
      count = count + 1
      names[count], at[count] = m.columns[position], position
    end
  end
  search.count, search.appends = nil, false
  if search.keyed or count == #m.columns and appends_counts() then
    local numbers = search.keyed
    local counts = request.joins and require('read.related_columns').prepare_counts(request.joins, m.auto, numbers)
    if counts and numbers then
      search.count = counts
    elseif counts then
      search.complete, search.appends, join_sorted = counts, true, nil
    end
  end
  place_counts()
  if search.keyed then search.chunk = SCORED_CHUNK end
  search.price = search.keyed and SCORED or (4 + count) / 12 + others / 2
  search.names, search.at, search.long, search.direct = names, at, long, count == #m.columns
  local uncertain = search.holds or request.joins or m.unsure or not path_is_sure
  search.must_read = count > 1 or uncertain or request.want == 'rows' or request.want == 'aggregate'
  if search.fold then
    local aggregation = require('read.aggregation')
    if not uncertain and aggregation.by_scores() then
      search.fold_keys, search.price, search.chunk = aggregation.fold_scores, SCORED, SCORED_CHUNK
    end
    if not (search.holds or request.joins or search.fill or aggregation.has_conditions()) then
      local flat_columns = require('read.flat_columns')
      local folding = require('read.column_folding')
      local base, pk_name, read = m.base .. KEY.object, m.columns[1], folding.columns_read(m)
      local long_at = {}
      for j = 1, #read do
        for _, position in ipairs(request.long) do
          if m.columns[position] == read[j] then long_at[#long_at + 1] = j end
        end
      end
      search.fold_keys = search.fold_keys or function(keys)
        local texts, found, gone = flat_columns.by_keys(base, keys, read, pk_name, long_at)
        folding.fold_columns(texts, found, gone)
        return found
      end
      if search.walks and #search.checks == 0 and not request.backwards then
        search.price, search.chunk = (3 + #read) / 20, #long_at > 0 and LONG_CHUNK or SCORED_CHUNK
        function search.fold_range(start, number)
          local texts, found, gone = flat_columns.by_rank(base, search.ids, read, pk_name, start, number, long_at)
          if not texts then return nil end
          folding.fold_columns(texts, found, gone)
          search.spent = search.spent + found * search.price
          return found
        end
      end
    end
  end
end

-- The rows among these keys (at most CHUNK) that meet the condition, until there are enough; {pk} alone where nothing
-- has to be read.
-- The texts are counted in each fifth or sixth row, which stands for those behind it, until a long one is found: to
-- count them all would cost short rows 5 % of their time.
local function look(keys, into, enough)
  local checks, holds = search.checks, search.holds
  if search.m.gone then keys = require('expiry.left_behind').without_gone(search.m, keys) end
  for i = 1, #checks do
    if #keys > 0 then
      search.spent = search.spent + #keys * QUICK
      keys = sift(keys, checks[i])
    end
  end
  if not search.must_read then
    for i = 1, #keys do into[#into + 1] = {keys[i]} end
    return
  end
  if search.fold_keys then
    search.spent = search.spent + #keys * search.price
    local done = #keys > 0 and search.fold_keys(keys) or #keys
    return done < #keys and keys[done] or nil
  end
  if search.keyed then
    local rows, first = {}, #into
    for i = 1, #keys do rows[i] = {keys[i]} end
    if search.count then search.count(rows) end
    for i = 1, #rows do
      if not search.count then
        if join_early then join_early(rows[i]) end
        if join_sorted then join_sorted(rows[i]) end
      end
      into[first + i] = rows[i]
    end
    search.spent = search.spent + #keys * SCORED
    return
  end
  local fold = search.fold
  local base, names, at, count, direct = search.m.base .. KEY.object, search.names, search.at, #into, search.direct
  local width, fill, long, size, left = #at, search.fill, search.long, 0, bytes.most - bytes.read
  local many, stride, last = bytes.most / 250, search.stride or 5, enough or math.huge
  local at_size = #long > 0 and 1 or math.huge
  local follow = search.row_by_row and request.related and require('read.related_objects').follow
  local deep, looked = follow or request.joins or open_models.asks_others, #keys
  for i = 1, #keys do
    local row = pcommand('HMGET', base .. keys[i], unpack(names, 1, width))
    if row.err then row = call('HMGET', base .. keys[i], names[1]) end
    if row[1] then
      if not direct then
        local texts = row
        row = {}
        for j = 1, width do row[at[j]] = texts[j] end
      end
      if i >= at_size then
        local own = 0
        for j = 1, #long do own = own + #(row[long[j]] or '') end
        if own > many then search.stride = 1 end
        stride = search.stride or 11 - stride
        size = size + own * stride
        at_size = i + stride
        if size > left then last = 0 end
      end
      if fill then fill(row) end
      if join_early then join_early(row) end
      if not holds or holds(row, keys[i]) then
        if join_sorted then join_sorted(row) end
        if fold then
          fold(row, keys[i])
        else
          count = count + 1
          into[count] = row
        end
      end
      if deep then
        if follow and into[count] == row then follow(row) end
        if size > bytes.most - bytes.read then last = 0 end
      end
      if count >= last then
        looked = i
        break
      end
    end
  end
  bytes.read = bytes.read + size
  search.spent = search.spent + looked * search.price
  return looked < #keys and count ~= enough and keys[looked] or nil
end

-- As look(), for any number of keys, until there are enough rows.
local function look_at_all(keys, into, enough)
  if #keys <= CHUNK and not enough then return not look(keys, into) end
  local first, size = 1, enough and math.min(CHUNK, math.max(enough, 10)) or CHUNK
  while first <= #keys and not (enough and #into >= enough) do
    if full() or look({unpack(keys, first, math.min(first + size - 1, #keys))}, into, enough) then return false end
    first, size = first + size, CHUNK
  end
  return true
end

-- Rows as the caller reads them; packed as they were read if they need no change.
local function pack_wanted(rows, positions)
  local direct = search.appends or search.direct and not request.joins and #positions == #search.names
  for i = 1, #search.names do direct = direct and positions[i] == i end
  return pack_rows(rows, #positions, not direct and positions or nil)
end

return {
  search = search, CHUNK = CHUNK, QUICK = QUICK, held_long = held_long, prepare = prepare,
  prepare_reading = prepare_reading, look = look, look_at_all = look_at_all, pack_wanted = pack_wanted,
}
