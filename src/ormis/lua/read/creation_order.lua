-- Where objects stand in the order of creation.
-- Out: creation_order_of(ids, keys), by the sorted set `ids` of a model: numbers, 0 for one that is not in it; nil if
--      the server refuses.

local function creation_order_of(ids, keys)
  local found = {}
  for first = 1, #keys, 1000 do
    local last = math.min(first + 999, #keys)
    local scores = redis.pcall('ZMSCORE', ids, unpack(keys, first, last))
    if scores.err then return nil end
    for i = first, last do found[i] = tonumber(scores[i - first + 1] or 0) end
  end
  return found
end

return creation_order_of
