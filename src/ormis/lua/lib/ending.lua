--@include expiring
--@include objects
-- The end of an object that a batch has written.
-- Out: keep_end(object).

local function forget_end(m, pk)
  call('ZREM', m.base .. '/expiry', pk)
  call('HDEL', expiring.book(m), pk)
end

-- After an object has been written: its time, and what will be needed to clear it away. Its `ends` is the time from now
-- on, false for none, nil where it stays as it is.
local function keep_end(object)
  local m, pk, key = object.m, object.pk, object.key
  if not object.new then return m.expires and object.old and forget_end(m, pk) end
  if object.ends then
    objects.need(object, expiring.watched(m))
    call('PEXPIREAT', key, object.ends)
    call('ZADD', m.base .. '/expiry', object.ends, pk)
    call('HSET', expiring.book(m), pk, expiring.record(m, object.new))
  elseif object.ends == false then
    call('PERSIST', key)
    if m.expires then forget_end(m, pk) end
  elseif m.expires and object.old and call('HEXISTS', expiring.book(m), pk) == 1 then
    local list, set = expiring.watched(m)
    local touched = not object.changed
    for position in pairs(object.changed or {}) do touched = touched or set[position] end
    if touched then
      objects.need(object, list)
      call('HSET', expiring.book(m), pk, expiring.record(m, object.new))
    end
  end
end
