-- Renews the time to live of objects that were read.
-- Out: renew(base, ttl, pks), of these objects of a model, whose keys begin with `base`: they live at least `ttl`
--      milliseconds from now on. Those that have more time, or no end, keep that. renew_rows(base, ttl, rows), of rows
--      that begin with the key. That the server refuses to write is no reason not to read.

local KEY = require('server.keys')
local pcommand = require('server.server').pcommand
local now = require('expiry.expiring').now

local function refused(reply)
  return type(reply) == 'table' and reply.err
end

local function renew(base, ttl, pks)
  local known, at = pcall(now)
  if not known then return end
  local expiry, ends = base .. KEY.expiry, at + ttl
  local times = pcommand('ZMSCORE', expiry, unpack(pks))
  if refused(times) then return end
  local due, entries, before = {}, {}, {}
  for i = 1, #pks do
    if times[i] and tonumber(times[i]) < ends then
      due[#due + 1] = pks[i]
      entries[2 * #due - 1], entries[2 * #due] = ends, pks[i]
      before[2 * #due - 1], before[2 * #due] = times[i], pks[i]
    end
  end
  if #due == 0 or refused(pcommand('ZADD', expiry, unpack(entries))) then return end
  for i = 1, #due do
    if refused(pcommand('PEXPIREAT', base .. KEY.object .. due[i], ends)) then
      pcommand('ZADD', expiry, unpack(before, 2 * i - 1))
      return
    end
  end
end

local function renew_rows(base, ttl, rows)
  local pks = {}
  for i = 1, #rows do pks[i] = rows[i][1] end
  if #pks > 0 then renew(base, ttl, pks) end
end

return {renew = renew, renew_rows = renew_rows}
