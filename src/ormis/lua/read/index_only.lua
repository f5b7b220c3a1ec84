-- Rows, or their number, by the probes of index_probes.lua. The third of these is {number of the probe with the order
-- that is asked for or false, descending, backwards, offset, limit or false, how many objects a call may look at, which
-- of the columns is the key, column, ...}.
-- Out: answer_by_probes(probes, model_base, best), the reply; nil if the search has to answer.

local KEY = require('server.keys')
local pack_rows = require('server.pack_rows')
local creation_order_of = require('read.creation_order')

local MOST = 1000  -- keys that are looked at

local call = redis.pcall
local asked, base, wanted

-- Of the keys those that a look allows; nil where the server refuses.
local function sift(keys, look)
  if look.keys then
    for i = 1, #keys do
      if keys[i] == look.keys[1] then return look.keys end
    end
    return {}
  end
  local found, kept, count, in_set = nil, {}, 0, look[1] == 'SCARD'
  found = call(in_set and 'SMISMEMBER' or 'ZMSCORE', look.key, unpack(keys))
  if found.err then return nil end
  local least, above, most, below = look.least, look[5], look.most, look[7]
  for i = 1, #keys do
    local fits = found[i]
    if in_set then
      fits = fits == 1
    elseif fits then
      local own = tonumber(fits)
      fits = (not least or own > least or own == least and not above)
        and (not most or own < most or own == most and not below)
    end
    if fits then
      count = count + 1
      kept[count] = keys[i]
    end
  end
  return kept
end

-- The same for all looks but one; what has no bound allows every object.
local function sift_all(keys, but)
  for i = 4, #asked do
    local look = asked[i]
    if look ~= but and #keys > 0 and (look[1] ~= 'ZCOUNT' or look.least or look.most) then
      keys = sift(keys, look)
      if not keys then return nil end
    end
  end
  return keys
end

local function keys_of(look)
  local keys = look.keys
  if keys then return sift_all(keys, look) end
  if look[1] == 'SCARD' then
    keys = call('SMEMBERS', look.key)
  else
    keys = call('ZRANGEBYSCORE', look.key, look.low, look.high)
  end
  return not keys.err and sift_all(keys, look) or nil
end

-- Scores as numbers; nil where one is missing, or is not as good as its text.
local function exact_scores(texts, count)
  local scores = {}
  for i = 1, count do
    local own = texts[i] and tonumber(texts[i])
    if not own or own >= 9007199254740992 or own <= -9007199254740992 then return nil end
    scores[i] = own
  end
  return scores
end

local function scores_at(key, keys)
  local found = call('ZMSCORE', key, unpack(keys))
  return not found.err and exact_scores(found, #keys) or nil
end

-- The keys by these scores, if any, then in the order of creation, in which they often are already.
local function in_order(keys, scores)
  local descending, backwards = wanted[2], wanted[3]
  local places = creation_order_of(base .. KEY.ids, keys)
  if not places then return nil end
  local sorted = not scores and not backwards
  for i = 2, #keys do sorted = sorted and places[i - 1] < places[i] end
  if sorted then return keys end
  local at, ordered = {}, {}
  for i = 1, #keys do at[i] = i end
  table.sort(at, function(a, b)
    if scores and scores[a] ~= scores[b] then return (scores[a] < scores[b]) ~= descending end
    if backwards then a, b = b, a end
    return places[a] < places[b]
  end)
  for i = 1, #at do ordered[i] = keys[at[i]] end
  return ordered
end

-- As many keys as are needed on a walk from the end of an index that is asked for, with what stands with the last.
local function walk(look, needed)
  local command, low, high = 'ZRANGEBYSCORE', look.low, look.high
  if wanted[2] then command, low, high = 'ZREVRANGEBYSCORE', high, low end
  local kept, count, score_of, start, size, tied = {}, 0, {}, 0, math.max(needed + 1, 16), false
  repeat
    local found, keys = call(command, look.key, low, high, 'WITHSCORES', 'LIMIT', start, size), {}
    if found.err or start > MOST then return nil end
    for i = 1, #found, 2 do
      keys[(i + 1) / 2] = found[i]
      score_of[found[i]] = found[i + 1]
    end
    local more = #keys == size
    keys = sift_all(keys, look)
    if not keys then return nil end
    for i = 1, #keys do
      count = count + 1
      kept[count] = keys[i]
      tied = tied or count > 1 and score_of[keys[i]] == score_of[kept[count - 1]]
    end
    start, size = start + size, math.min(200, 2 * size)
  until not more or count > needed and score_of[kept[count]] ~= score_of[kept[needed]]
  local texts = {}
  for i = 1, count do texts[i] = score_of[kept[i]] end
  local scores = exact_scores(texts, count)
  if not scores then return nil end
  return tied and in_order(kept, scores) or not tied and kept or nil
end

-- Whether an index has all that the looks allow. One without bounds lacks the objects without such a field, which was
-- declared later.
local function has_all(look)
  return look.least or look.most or look.count == call('ZCARD', base .. KEY.ids)
end

-- The keys of what is found, in the order that is asked for, as far as they are needed.
local function first_keys(best, needed)
  local ordered = wanted[1] and asked[3 + wanted[1]]
  if ordered and needed <= MOST and needed * ordered.count <= best.count * best.count and has_all(ordered) then
    return walk(ordered, needed)
  end
  if best.count > MOST or best == ordered and not has_all(best) then return nil end
  local keys = keys_of(best)
  if not keys or #keys < 2 then return keys end
  local scores = ordered and scores_at(ordered.key, keys)
  if ordered and not scores then return nil end
  return in_order(keys, scores)
end

-- The rows of keys; nil where one of these or of those before is no object, or its key is of another type.
local function rows_at(keys, first, last)
  local rows, at, width, before = {}, wanted[7], #wanted, {}
  for i = 1, math.min(first - 1, #keys) do before[i] = base .. KEY.object .. keys[i] end
  if before[1] and call('EXISTS', unpack(before)) ~= #before then return nil end
  for i = first, last do
    local row = call('HMGET', base .. KEY.object .. keys[i], unpack(wanted, 8, width))
    if not row[at] then return nil end
    rows[i - first + 1] = row
  end
  return rows
end

local function answer_by_probes(probes, model_base, best)
  asked, base, wanted = probes, model_base, probes[3]
  if asked[2] == 'count' then
    local keys = best.count <= MOST and keys_of(best)
    return keys and #keys or nil
  end
  local offset, limit, width = wanted[4], wanted[5], #wanted - 7
  if math.min(limit or best.count, best.count) * (4 + width) / 12 > wanted[6] then return nil end
  local keys = first_keys(best, limit and offset + limit or best.count)
  local rows = keys and rows_at(keys, offset + 1, math.min(limit and offset + limit or #keys, #keys))
  return rows and {cmsgpack.pack({'ok', 'done', #keys}), pack_rows(rows, width), ''}
end

return answer_by_probes
