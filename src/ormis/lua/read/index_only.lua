-- The second part of the fast path of a query, see cheapest.lua: rows, and counts of objects that several probes allow.
-- In: the plan, see plan.lua, whose probes are measured; of the plan rows, {number of the probe that has the order that
--   is asked for or false, descending, backwards, offset, limit or false, how many objects a call may look at, which of
--   the columns is the key, how many bytes a call may read, the numbers of the columns whose texts may have any length,
--   column, ...}.
-- Out: answer_by_indexes(best, own), the reply as query.lua describes it; nil if the search has to answer. `best` is
--      the cheapest probe, `own` the beginning of the keys of the model.

local KEY = require('server.keys')
local call = require('server.call')
local first = require('read.plan')
local plan, bound = first.plan, first.bound

local MOST = 1000  -- keys that are looked at

local base

-- The keys that all probes but one allow; a probe without an end allows all.
local function sift_all(keys, but)
  local sift = require('read.sift').sift
  for i = 5, #plan do
    local probe = plan[i]
    if probe ~= but and #keys > 0 and probe[4] + probe[5] > 0 then keys = sift(keys, probe) end
  end
  return keys
end

-- The keys by their scores, in whose order they often are, then in that of creation; nil if a score does not stand for
-- one value.
local function by_scores(keys, texts, descending, backwards)
  local scores, at, ordered, sorted = {}, {}, {}, true
  for i = 1, #keys do
    local own = texts[i] and tonumber(texts[i])
    if not own or own >= 9007199254740992 or own <= -9007199254740992 then return nil end
    sorted = sorted and (i == 1 or own ~= scores[i - 1] and (own > scores[i - 1]) ~= descending)
    scores[i], at[i] = own, i
  end
  if sorted then return keys end
  local places = require('read.creation_order').creation_order_of(base .. KEY.ids, keys)
  table.sort(at, function(a, b)
    if scores[a] ~= scores[b] then return (scores[a] < scores[b]) ~= descending end
    if backwards then a, b = b, a end
    return places[a] < places[b]
  end)
  for i = 1, #at do ordered[i] = keys[at[i]] end
  return ordered
end

-- Whether an index has all objects. One without bounds lacks those without such a field, which was declared later.
local function has_all(probe)
  return probe[4] + probe[5] > 0 or probe.cost == call('ZCARD', base .. KEY.ids)
end

-- The keys of the results, in the order of the request, as many as are needed.
local function first_keys(best, needed)
  local number, descending, backwards = unpack(plan[3], 1, 3)
  local walked = number and plan[4 + number]
  if walked and needed <= MOST and needed * walked.cost <= best.cost * best.cost and has_all(walked) then
    local looked = 0
    local keys, stands = require('read.sift').walk(walked, descending, needed, function(some, kept)
      looked = looked + #some
      some = sift_all(some, walked)
      for i = 1, #some do kept[#kept + 1] = some[i] end
      return looked <= MOST
    end, 0, #plan < 6)
    if not keys then return nil end
    local texts = {}
    for i = 1, #keys do texts[i] = stands[keys[i]] end
    return by_scores(keys, texts, descending, backwards)
  end
  if best.cost > MOST or best == walked and not has_all(best) then return nil end
  local keys = sift_all(require('read.sift').keys_of(best), best)
  if #keys < 2 then return keys end
  if walked then return by_scores(keys, call('ZMSCORE', walked.key, unpack(keys)), descending, backwards) end
  return require('read.creation_order').in_creation_order(base .. KEY.ids, keys, backwards)
end

-- The rows of keys; nil where one of these or of those before is no object, or the texts are too long for one call.
local function rows_at(keys, offset, last)
  local rows, at, width, before = {}, plan[3][7], #plan[3], {}
  local left, long, stride = plan[3][8], plan[3][9], 5  -- counted as candidates.lua does
  local many, at_size = left / 250, #long > 0 and offset or math.huge
  for i = 1, math.min(offset, #keys) do before[i] = base .. KEY.object .. keys[i] end
  if before[1] and call('EXISTS', unpack(before)) ~= #before then return nil end
  for i = offset + 1, last do
    local row = call('HMGET', base .. KEY.object .. keys[i], unpack(plan[3], 10, width))
    if not row[at] or left < 0 then return nil end
    if i >= at_size then
      local own = 0
      for j = 1, #long do own = own + #(row[long[j]] or '') end
      stride = own < many and stride > 1 and 11 - stride or 1
      left, at_size = left - own * stride, i + stride
    end
    rows[i - offset] = row
  end
  return rows
end

local function rows_of(best)
  local rows = plan[3]
  local offset, limit, width = tonumber(bound(rows[4])), tonumber(bound(rows[5])), #rows - 9
  if math.min(limit or best.cost, best.cost) * (4 + width) / 12 > rows[6] then return nil end
  local keys = first_keys(best, limit and offset + limit or best.cost)
  local found = keys and rows_at(keys, offset, math.min(limit and offset + limit or #keys, #keys))
  return found and {cmsgpack.pack({'ok', 'done', #keys}), require('server.pack_rows')(found, width), ''}
end

local function answer_by_indexes(best, own)
  base = own
  if plan[2] == 'rows' then return rows_of(best) end
  return best.cost <= MOST and #sift_all(require('read.sift').keys_of(best), best) or nil
end

return answer_by_indexes
