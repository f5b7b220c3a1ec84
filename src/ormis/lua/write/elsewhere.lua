-- On a cluster: references to objects of other partitions, see cluster/references.py. Touched:
--   ormis/registered/MODEL  in the partition of an object that is referred to, a hash: primary key -> a number that
--                           each registration makes anew, a slash, and the numbers of the partitions that may hold
--                           objects which refer to it, with commas
--   ormis/admitted/MODEL    in such a partition, a hash: primary key of an object that is there, and at which this
--                           partition is registered -> when it ends, in milliseconds, or an empty text
--   ormis/registrations, ormis/revocations   how many there were: the numbers above; those of admissions revoked here
-- Out: is_admitted(target, pk); revocations(); entry(target, pk), nil if no partition is registered; register(target,
--      pk, partition).

local KEY = require('server.keys')
local call = require('server.call')

local function is_admitted(target, pk)
  local ends = call('HGET', KEY.prefix .. KEY.admitted .. target, pk)
  return ends == '' or ends and tonumber(ends) > require('expiry.expiring').now()
end

local function revocations()
  return call('GET', KEY.prefix .. 'ormis/revocations') or '0'
end

local function entry(target, pk)
  return call('HGET', KEY.prefix .. KEY.registered .. target, pk) or nil
end

local function register(target, pk, partition)
  local stored = entry(target, pk)
  local partitions = stored and string.match(stored, '/(.*)$') or partition
  if not string.find(',' .. partitions .. ',', ',' .. partition .. ',', 1, true) then
    partitions = partitions .. ',' .. partition
  end
  local number = string.format('%.0f', call('INCR', KEY.prefix .. 'ormis/registrations'))
  call('HSET', KEY.prefix .. KEY.registered .. target, pk, number .. '/' .. partitions)
end

return {is_admitted = is_admitted, revocations = revocations, entry = entry, register = register}
