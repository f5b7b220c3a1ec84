-- Writes the expiry times of the objects of a batch, and the records needed to clear them away.
-- Out: write_expiry(commands), which enters the commands that it takes into a set, and returns a function that sends
--      them, after the objects have been written.

local KEY = require('server.keys')
local call = require('server.call')
local write = require('server.undo').write
local expiring = require('expiry.expiring')
local objects = require('write.objects')

local function touches_record(object)
  local _, set = expiring.watched(object.m)
  for position in pairs(object.changed or set) do
    if set[position] then return true end
  end
  return false
end

local function keep_record(object, add)
  local m = object.m
  objects.need(object, expiring.watched(m))
  add('HSET', expiring.records(m), object.pk, expiring.record(m, object.new))
end

local function forget_time(m, pk, add)
  add('ZREM', m.base .. KEY.expiry, pk)
  add('HDEL', expiring.records(m), pk)
end

-- The `expires_at` of an object is the time from now on, false for none, nil where it stays as it is.
local function collect(object, add, ends)
  local m, pk, expires_at = object.m, object.pk, object.expires_at
  if not object.new then
    if m.expires and object.old then forget_time(m, pk, add) end
  elseif expires_at then
    add('ZADD', m.base .. KEY.expiry, expires_at, pk)
    keep_record(object, add)
    ends[#ends + 1] = object
  elseif expires_at == false then
    if m.expires then forget_time(m, pk, add) end
    ends[#ends + 1] = object
  elseif m.expires and object.old and touches_record(object) then
    if call('HEXISTS', expiring.records(m), pk) == 1 then keep_record(object, add) end
  end
end

local function write_expiry(commands)
  local add, send = require('write.variadic')(commands)
  local ends = {}
  for i = 1, objects.count do collect(objects[i], add, ends) end
  return function()
    send(write)
    for _, object in ipairs(ends) do
      if object.expires_at then
        write('PEXPIREAT', object.key, object.expires_at)
      else
        write('PERSIST', object.key)
      end
    end
  end
end

return write_expiry
