-- On a cluster: the numbers of the changes of objects that are in all partitions (Meta.reference). The first partition
-- numbers each change that it makes; the others take over an object with the number of its last change, and leave out
-- what is older than what they have, see cluster/reference_models.py.
-- ormis/copies/MODEL, a hash: primary key -> number; '' -> the last number. A number is the time in milliseconds, or
-- the one after the last where that is higher: what a new master has lost is below the next ones. Of an object that is
-- gone the number stays, so that nothing older brings it back; check() removes it.
-- Out: stamp(), which numbers the changes of a batch; count_up(m, pks), which numbers these objects, changed or not;
--      of(m, pk), false without one; set(m, pk, number); newer(m, pk, number), whether that is above the stored one;
--      check(m, list), which refuses where the numbers of {pk, number, ...} are others now; without a list always, and
--      names the objects that the batch changes.

local call = require('server.call')
local counting = require('server.counting')
local KEY = require('server.keys')
local write = require('server.undo').write

local function key_of(m)
  return KEY.prefix .. KEY.copies .. m.key
end

local function of(m, pk)
  return call('HGET', key_of(m), pk)
end

local function set(m, pk, number)
  write('HSET', key_of(m), pk, number)
end

local function newer(m, pk, number)
  return (tonumber(number) or 0) > tonumber(of(m, pk) or 0)
end

local function count_up(m, pks)
  local last = math.max(tonumber(of(m, '') or 0) + 1, require('expiry.expiring').now())
  for i = 1, #pks do set(m, pks[i], string.format('%.0f', last + i - 1)) end
  set(m, '', string.format('%.0f', last + #pks - 1))
end

local function stamp()
  if counting.step == 1 or counting.first ~= '0' then return end
  local objects, changed = require('write.objects'), {}
  for i = 1, objects.count do
    local object = objects[i]
    if object.m.copied and (object.old ~= object.new or object.expires_at ~= nil) then
      changed[object.m] = changed[object.m] or {}
      table.insert(changed[object.m], object.pk)
    end
  end
  for m, pks in pairs(changed) do count_up(m, pks) end
end

-- Copied objects that a batch changes or deletes: {model key, primary key, ...}.
local function reached()
  local objects, found = require('write.objects'), {}
  for i = 1, objects.count do
    local object = objects[i]
    if object.m.copied and object.old ~= object.new then
      found[#found + 1] = object.m.key
      found[#found + 1] = object.pk
    end
  end
  return found
end

local function check(m, list)
  local refuse = require('write.mutations').refuse
  if not list then refuse('numbered', m.key, reached()) end
  for i = 1, #list, 2 do
    if of(m, list[i]) ~= list[i + 1] then refuse('numbered', m.key) end
  end
end

return {stamp = stamp, count_up = count_up, of = of, set = set, newer = newer, check = check}
