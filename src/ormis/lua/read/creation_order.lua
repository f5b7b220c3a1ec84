-- Where objects stand in the order of creation.
-- Out: creation_order_of(ids, keys), by the sorted set `ids` of a model: numbers, 0 for one that is not in it;
--      in_creation_order(ids, keys, backwards), the keys in that order, in which they often are already; nil if two
--      share a place.

local call = require('server.call')

local function creation_order_of(ids, keys)
  local found = {}
  for first = 1, #keys, 1000 do
    local last = math.min(first + 999, #keys)
    local scores = call('ZMSCORE', ids, unpack(keys, first, last))
    for i = first, last do found[i] = tonumber(scores[i - first + 1] or 0) end
  end
  return found
end

-- To sort numbers costs a fraction of sorting keys by them.
local function in_creation_order(ids, keys, backwards)
  local found = creation_order_of(ids, keys)
  local sorted, count = true, #found
  for i = 2, count do
    if backwards then
      sorted = sorted and found[i] < found[i - 1]
    else
      sorted = sorted and found[i] > found[i - 1]
    end
  end
  if sorted then return keys end
  local key_at, ordered = {}, {}
  for i = 1, count do
    if key_at[found[i]] then return nil end
    key_at[found[i]] = keys[i]
  end
  table.sort(found)
  for i = 1, count do ordered[backwards and count + 1 - i or i] = key_at[found[i]] end
  return ordered
end

return {creation_order_of = creation_order_of, in_creation_order = in_creation_order}
