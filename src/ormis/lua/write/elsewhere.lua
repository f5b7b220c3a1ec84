-- On a cluster: references to objects of other partitions, see cluster/references.py. Touched:
--   ormis/registered/MODEL  in the partition of an object that is referred to, a hash: primary key -> a number that
--                           each registration makes anew, a slash, and the numbers of the partitions that may hold
--                           objects which refer to it, with commas
--   ormis/admitted/MODEL    in such a partition, a hash: primary key of an object that is there, and at which this
--                           partition is registered -> when it ends, in milliseconds, or an empty text
--   ormis/orphaned/MODEL    a set: primary keys of objects at which others were registered when they expired, see
--                           take_orphans.lua
--   ormis/registrations, ormis/revocations   how many there were: the numbers above; those of admissions revoked here
-- Out: is_admitted(target, pk); revocations(); entry(target, pk), nil if no partition is registered; is_listed(stored,
--      partition); register(target, pk, partition); orphan(target, pk), of an object that goes without asking anybody.

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

-- Whether an entry names this partition.
local function is_listed(stored, partition)
  return string.find(string.gsub(stored, '/', ',') .. ',', ',' .. partition .. ',', 1, true) ~= nil
end

local function register(target, pk, partition)
  local stored = entry(target, pk)
  local partitions = stored and string.match(stored, '^[^/]*/(.*)$') or partition
  if stored and not is_listed(stored, partition) then partitions = partitions .. ',' .. partition end
  local number = string.format('%.0f', call('INCR', KEY.prefix .. 'ormis/registrations'))
  call('HSET', KEY.prefix .. KEY.registered .. target, pk, number .. '/' .. partitions)
end

local function orphan(target, pk)
  if entry(target, pk) then call('SADD', KEY.prefix .. KEY.orphaned .. target, pk) end
end

return {is_admitted = is_admitted, revocations = revocations, entry = entry, is_listed = is_listed,
  register = register, orphan = orphan}
