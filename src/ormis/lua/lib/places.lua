-- Where objects stand in the order of creation.
-- In: ARGV[1], the partition tag. Out: places_of(key, keys) of a model's objects: numbers, 0 for one that has no place;
--     nil where the server refuses.

local function places_of(key, keys)
  local found = {}
  for first = 1, #keys, 1000 do
    local last = math.min(first + 999, #keys)
    local scores = redis.pcall('ZMSCORE', ARGV[1] .. key .. '/ids', unpack(keys, first, last))
    if scores.err then return nil end
    for i = first, last do found[i] = tonumber(scores[i - first + 1] or 0) end
  end
  return found
end
