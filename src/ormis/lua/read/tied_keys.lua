-- The first keys of an index, with several at one score: in the order of creation.
-- Out: tied_keys(entries, index, base, limit, backwards): `entries` are the first of the index, {key, score, ...}, one
--      more than the limit if there are as many. Of more than MOST at the last score it takes those that the index has
--      first, since to sort them would take as long as to read all of them.

local call = require('server.call')
local KEY = require('server.keys')

local MOST = 1000

local function tied_keys(entries, index, base, limit, backwards)
  local keys, scores, count = {}, {}, math.min(#entries / 2, limit)
  local last, next_one = entries[2 * count], entries[2 * count + 2]
  if last == next_one and call('ZCOUNT', index, last, last) <= MOST then
    local tied = call('ZRANGEBYSCORE', index, last, last)
    while count > 0 and entries[2 * count] == last do count = count - 1 end
    for i = 1, #tied do keys[count + i], scores[tied[i]] = tied[i], tonumber(last) end
  end
  for i = 1, count do keys[i], scores[entries[2 * i - 1]] = entries[2 * i - 1], tonumber(entries[2 * i]) end
  local order, places = {}, require('read.creation_order').creation_order_of(base .. KEY.ids, keys)
  for i = 1, #keys do order[keys[i]] = backwards and -places[i] or places[i] end
  local ascending = tonumber(entries[2]) < tonumber(last)
  table.sort(keys, function(a, b)
    if scores[a] ~= scores[b] then return (scores[a] < scores[b]) == ascending end
    return order[a] < order[b]
  end)
  for i = #keys, limit + 1, -1 do keys[i] = nil end
  return keys
end

return tied_keys
