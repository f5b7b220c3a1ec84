-- After an object has been written: its time, and what will be needed to clear it away.
-- Out: write_expiry(object).

local KEY = require('server.keys')
local call = require('server.call')
local expiring = require('expiry.expiring')
local objects = require('write.objects')

local function forget_time(m, pk)
  call('ZREM', m.base .. KEY.expiry, pk)
  call('HDEL', expiring.records(m), pk)
end

-- After an object has been written: its time, and what will be needed to clear it away. Its `ends` is the time from now
-- on, false for none, nil where it stays as it is.
local function write_expiry(object)
  local m, pk, key = object.m, object.pk, object.key
  if not object.new then return m.expires and object.old and forget_time(m, pk) end
  if object.expires_at then
    objects.need(object, expiring.watched(m))
    call('PEXPIREAT', key, object.expires_at)
    call('ZADD', m.base .. KEY.expiry, object.expires_at, pk)
    call('HSET', expiring.records(m), pk, expiring.record(m, object.new))
  elseif object.expires_at == false then
    call('PERSIST', key)
    if m.expires then forget_time(m, pk) end
  elseif m.expires and object.old and call('HEXISTS', expiring.records(m), pk) == 1 then
    local list, set = expiring.watched(m)
    local touched = not object.changed
    for position in pairs(object.changed or {}) do touched = touched or set[position] end
    if touched then
      objects.need(object, list)
      call('HSET', expiring.records(m), pk, expiring.record(m, object.new))
    end
  end
end

return write_expiry
