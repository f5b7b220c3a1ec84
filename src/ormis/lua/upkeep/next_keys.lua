-- The next objects in the order of creation.
-- Out: next_keys(m, after, count, ask): the keys behind a place, the place of each, and that of the last one if there
--      may be more, else false; those that share its place are among them. ask: sends a command; nil for no reply.

local KEY = require('server.keys')
local call = require('server.call')

local function next_keys(m, after, count, ask)
  local ids, keys, places = m.base .. KEY.ids, {}, {}
  local reply = ask('ZRANGEBYSCORE', ids, after and '(' .. after or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, count)
  if not reply then return keys, places, false end
  local last = reply[#reply]
  for i = 1, #reply, 2 do keys[#keys + 1], places[#places + 1] = reply[i], reply[i + 1] end
  if #keys < count then return keys, places, false end
  local seen = {}
  for i = 1, #keys do seen[keys[i]] = true end
  for _, pk in ipairs(call('ZRANGEBYSCORE', ids, last, last)) do
    if not seen[pk] then keys[#keys + 1], places[#places + 1] = pk, last end
  end
  return keys, places, last
end

return next_keys
