-- Rows, or how many there are, by the looks of looks.lua.
-- Out: picked(best), which returns as query.lua does, nil where the search has to answer.

local MOST = 1000  -- keys that are looked at

local looks, base = request.looks, ARGV[1] .. request.model
local call = redis.pcall

-- Of the keys those that a look allows; nil where the server refuses.
local function sift(keys, look)
  local found, kept, count, in_set = nil, {}, 0, look[1] == 'SCARD'
  found = call(in_set and 'SMISMEMBER' or 'ZMSCORE', look.key, unpack(keys))
  if found.err then return nil end
  local least, above, most, below = look.least, look.above, look.most, look.below
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
  for i = 1, #looks do
    if looks[i] ~= but and #looks[i] > 3 and #keys > 0 then
      keys = sift(keys, looks[i])
      if not keys then return nil end
    end
  end
  return keys
end

local function keys_of(look)
  local keys
  if look[1] == 'SCARD' then
    keys = call('SMEMBERS', look.key)
  else
    keys = call('ZRANGEBYSCORE', look.key, look.low, look.high)
  end
  return not keys.err and sift_all(keys, look) or nil
end

-- The scores of keys; nil where one has none, or one that is not as good as its text.
local function scores_at(key, keys)
  local scores = call('ZMSCORE', key, unpack(keys))
  if scores.err then return nil end
  for i = 1, #keys do
    local own = scores[i] and tonumber(scores[i])
    if not own or own >= 9007199254740992 or own <= -9007199254740992 then return nil end
    scores[i] = own
  end
  return scores
end

-- The keys by these scores, if any, then in the order of creation, in which they often are already.
local function in_order(keys, scores, descending)
  local places = scores_at(base .. '/ids', keys)
  if not places then return nil end
  local sorted = not scores and not request.backwards
  for i = 2, #keys do sorted = sorted and places[i - 1] < places[i] end
  if sorted then return keys end
  local at, ordered = {}, {}
  for i = 1, #keys do at[i] = i end
  table.sort(at, function(a, b)
    if scores and scores[a] ~= scores[b] then return (scores[a] < scores[b]) ~= descending end
    if request.backwards then a, b = b, a end
    return places[a] < places[b]
  end)
  for i = 1, #at do ordered[i] = keys[at[i]] end
  return ordered
end

-- As many keys as are needed on a walk from the end of an index that is asked for, with what stands with the last.
local function walk(look, needed, descending)
  local command, low, high = 'ZRANGEBYSCORE', look.low, look.high
  if descending then command, low, high = 'ZREVRANGEBYSCORE', high, low end
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
  local scores = {}
  for i = 1, count do
    scores[i] = tonumber(score_of[kept[i]])
    if scores[i] >= 9007199254740992 or scores[i] <= -9007199254740992 then return nil end
  end
  return tied and in_order(kept, scores, descending) or not tied and kept or nil
end

-- The keys of what is found, in the order that is asked for, as far as they are needed.
local function first_keys(best, needed)
  local ordered = request.walk and looks[request.walk]
  local descending = ordered and request.order[1][2]
  if ordered and needed <= MOST and needed * ordered.count <= best.count * best.count then
    return walk(ordered, needed, descending)
  end
  if best.count > MOST then return nil end
  local keys = keys_of(best)
  if not keys or #keys == 0 then return keys end
  local scores = ordered and scores_at(ordered.key, keys)
  if ordered and not scores then return nil end
  return in_order(keys, scores, descending)
end

-- The rows of keys; nil where one is no object, or its key is of another type.
local function rows_at(keys, first, last)
  local rows, names, at, width = {}, request.names, request.at, #request.names
  for i = first, last do
    local row = call('HMGET', base .. ':' .. keys[i], unpack(names, 1, width))
    if not row[at] then return nil end
    rows[i - first + 1] = row
  end
  return rows
end

local function picked(best)
  if request.want == 'count' then
    local keys = best.count <= MOST and keys_of(best)
    return keys and {cmsgpack.pack({'ok', 'done', #keys})} or nil
  end
  local offset, width = request.offset or 0, #request.names
  local needed = request.limit and offset + request.limit or best.count
  if math.min(needed - offset, best.count) * (4 + width) / 12 > request.budget then return nil end
  local keys = first_keys(best, needed)
  local rows = keys and rows_at(keys, offset + 1, math.min(needed, #keys))
  return rows and {cmsgpack.pack({'ok', 'done', #keys}), pack_rows(rows, width), ''}
end
