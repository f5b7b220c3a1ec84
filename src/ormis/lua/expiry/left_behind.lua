-- Expired objects whose remains are still there, as a reading sees them: it clears nothing away, since then it would
-- have to wait where writes wait, and no replica could answer it.
-- Out: look(m), which sets m.gone, the list of these objects, and m.is_gone, the same as a set; if they are too many
--      for that, m.unsure, and returns true: then only its hash says whether an object is there. without_gone(m, keys),
--      the keys of the others; gone_in(m, probe), how many of m.gone a measured probe allows, nil if it can't be told.

local KEY = require('server.keys')
local call = require('server.call')

local FEW = 100  -- as many as a call that writes clears at least

-- The server has the last word on a time: another tool may have moved it. A replica of Redis 6.2 shows scripts an
-- object whose time has come, with nothing left of it, until the primary removes it.
local function hashless(m, due)
  local keys = {}
  for i = 1, #due do keys[i] = m.base .. KEY.object .. due[i] end
  if call('EXISTS', unpack(keys)) == 0 then return due end
  local gone = {}
  for i = 1, #due do
    local left = call('PTTL', keys[i])
    if left == -2 or left == 0 then gone[#gone + 1] = due[i] end
  end
  return gone
end

local function look(m)
  -- In the millisecond of its end the server still has an object.
  local before = '(' .. require('expiry.expiring').now()
  local due = call('ZRANGEBYSCORE', m.base .. KEY.expiry, '-inf', before, 'LIMIT', 0, FEW + 1)
  if #due == 0 then return false end
  m.unsure = #due > FEW
  if m.unsure then return true end
  m.gone, m.is_gone = hashless(m, due), {}
  for i = 1, #m.gone do m.is_gone[m.gone[i]] = true end
  if #m.gone == 0 then m.gone = nil end
  return false
end

local function without_gone(m, keys)
  local kept, is_gone = {}, m.is_gone
  for i = 1, #keys do
    if not is_gone[keys[i]] then kept[#kept + 1] = keys[i] end
  end
  return kept
end

local function gone_in(m, probe)
  if not probe.keys and probe[1] ~= 'equal' and probe[1] ~= 'sorted' then return nil end
  return #require('read.sift').sift(m.gone, probe)
end

return {look = look, without_gone = without_gone, gone_in = gone_in}
