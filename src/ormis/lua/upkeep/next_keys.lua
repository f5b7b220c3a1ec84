-- The next objects in the order of creation.
-- Out: with_places(m, after, count, ask): the keys behind a place, the place of each, and that of the last one if there
--      may be more, else false; those that share its place are among them. ask: sends a command; nil for no reply.
--      pks_behind(m, after, count): the same without the place of each, in less time.

local KEY = require('server.keys')
local call = require('server.call')

-- Adds those that share the place of the last one.
local function add_tied(ids, last, keys, add)
  if call('ZCOUNT', ids, last, last) == 1 then return end
  local seen = {}
  for i = 1, #keys do seen[keys[i]] = true end
  for _, pk in ipairs(call('ZRANGEBYSCORE', ids, last, last)) do
    if not seen[pk] then add(pk) end
  end
end

local function with_places(m, after, count, ask)
  local ids, keys, places = m.base .. KEY.ids, {}, {}
  local reply = ask('ZRANGEBYSCORE', ids, after and '(' .. after or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, count)
  if not reply then return keys, places, false end
  local last = reply[#reply]
  for i = 1, #reply, 2 do keys[#keys + 1], places[#places + 1] = reply[i], reply[i + 1] end
  if #keys < count then return keys, places, false end
  add_tied(ids, last, keys, function(pk) keys[#keys + 1], places[#places + 1] = pk, last end)
  return keys, places, last
end

local function pks_behind(m, after, count)
  local ids = m.base .. KEY.ids
  local pks = call('ZRANGEBYSCORE', ids, after and '(' .. after or '-inf', '+inf', 'LIMIT', 0, count)
  if #pks < count then return pks, false end
  local last = call('ZSCORE', ids, pks[#pks])
  add_tied(ids, last, pks, function(pk) pks[#pks + 1] = pk end)
  return pks, last
end

return {with_places = with_places, pks_behind = pks_behind}
