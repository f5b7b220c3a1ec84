-- The counter of automatic keys: integers without an upper bound, as texts.
-- Out: last(model), of its key the last key that was counted and the stored text, false if it is absent;
--      successor(text, by), above(a, b); EXACT; step, see counting.lua.

local KEY = require('server.keys')
local call = require('server.call')
local counting = require('server.counting')

local EXACT = 15                 -- digits of a key that a double holds exactly
local TAIL, LIMIT = 14, 1e14     -- digits that are added to as a number

-- The key that is `by` above, at most 1e14.
local function successor(text, by)
  if #text < EXACT then return string.format('%.0f', tonumber(text) + by) end
  local head, tail = string.sub(text, 1, -TAIL - 1), tonumber(string.sub(text, -TAIL)) + by
  if tail >= LIMIT then head, tail = successor(head, 1), tail - LIMIT end
  return head .. string.format('%014.0f', tail)
end

-- Whether the integer a is above b, which is not negative.
local function above(a, b)
  if string.byte(a) == 45 then return false end
  if #a ~= #b then return #a > #b end
  return #a < EXACT and tonumber(a) > tonumber(b) or #a >= EXACT and a ~= b and a > b
end

-- The highest key among the last objects in the order of creation. Their places are at or above every key of up to
-- EXACT digits; a longer key has its place above all before it.
local function highest(ids)
  local found = counting.first
  local entries = call('ZREVRANGE', ids, 0, 99, 'WITHSCORES')
  for i = 1, #entries, 2 do
    local place = string.format('%.0f', math.floor(math.max(entries[i + 1], 0)))
    if string.find(entries[i], '^%d+$') and above(entries[i], found) then found = entries[i] end
    if #place <= EXACT and above(place, found) then found = place end
  end
  return found
end

-- A counter that the server has evicted begins again above the objects.
local function last(model)
  local stored = call('GET', KEY.prefix .. model .. KEY.next_id)
  if not stored or stored == '0' then return highest(KEY.prefix .. model .. KEY.ids), stored end
  if not string.find(stored, '^%d+$') then require('server.failure').fail('counter', model .. KEY.next_id, stored) end
  return stored, stored
end

return {last = last, successor = successor, above = above, EXACT = EXACT, step = counting.step}
