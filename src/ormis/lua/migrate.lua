-- One step of an operation of a migration on the objects of a model, while clients read and write. Its place is read
-- from and written to the database in the same call, so that no step is applied twice.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the request, see upkeep/migration.lua; ARGV[3], ARGV[4] shape and declaration of a
--          model; indexes and constraints that the database knows beside these are kept right, too
-- The request has count and bytes, the sizes of a step; where an index or constraint is concerned, and of objects that
-- are read or written by a client, `count` is divided by SLOWER. `what`:
--   'declare'  stores the declaration beside what the database knows, so that clients keep both
--   'walk'     changes the next objects by `change`, see upkeep/field_changes.lua and
--              upkeep/key_changes.lua
--   'page'     reads the next objects: the first `width` columns of the shape
--   'pending'  reads objects that are left: those behind `cursor` in the set of them
--   'write'    {pk, {position, text|false, ...}, {position, text|false that must still hold, ...}} for each object in
--              `changes`; `next` is the place of the last object of the page, false at the end, `after` that of the
--              page before; nil for objects that are left. `left`: further objects that are left.
-- Returns of 'walk' {'ok', done, count, refused}; of 'page' {'rows', after, next, rows} or {'ok', 'done'}; of
-- 'pending' {'rows', cursor, rows}; of 'write' {'ok', stale, refused}: the keys of objects that have changed
-- meanwhile; {pk, constraint, value, holder} of those that can't have their new values; both are left. Or {'held', ..},
-- {'moved', number}, see migration.lua, and nothing has changed.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local models = require('model.models')
local migration = require('upkeep.migration')
local request = migration.request
local with_places = require('upkeep.next_keys').with_places
local pack_rows = require('server.pack_rows')

local SLOWER = 20
local m

-- How many bytes of texts this step has read.
local read = 0

-- The next objects behind a place, as many as their texts allow.
local function page_after(after, count)
  local pks, places, place = with_places(m, after, count, call)
  local rows, names = {}, {unpack(m.columns, 1, request.width)}
  for i = 1, #pks do
    if read > request.bytes and places[i] ~= places[i - 1] then return rows, places[i - 1] end
    local texts = call('HMGET', m.base .. KEY.object .. pks[i], unpack(names))
    for j = 1, #texts do read = read + #(texts[j] or '') end
    if texts[1] then rows[#rows + 1] = {places[i], pks[i], unpack(texts)} end
  end
  return rows, place
end

local action = {}

function action.declare()
  return {'ok'}
end

function action.walk()
  local record = migration.read()
  if record.done then return {'ok', true, 0, {}} end
  local step = require('upkeep.field_changes')
  local kind = request.change[1]
  if kind == 'forget' or kind == 'links' then step = require('upkeep.key_changes') end
  local pks, place, refused = step(m, request, record.after, SLOWER)
  record.after, record.done = place, not place
  migration.write(record)
  return {'ok', record.done, #pks, refused}
end

function action.page()
  local record = migration.read()
  if record.done then return {'ok', 'done'} end
  local rows, place = page_after(record.after, math.max(1, math.floor(request.count / SLOWER)))
  return {'rows', record.after, place, pack_rows(rows, request.width + 2)}
end

function action.pending()
  local reply = call('SSCAN', migration.pending, request.cursor, 'COUNT', math.ceil(request.count / SLOWER))
  local rows, names = {}, {unpack(m.columns, 1, request.width)}
  for _, pk in ipairs(reply[2]) do
    local texts = call('HMGET', m.base .. KEY.object .. pk, unpack(names))
    if texts[1] then rows[#rows + 1] = {'', pk, unpack(texts)} else call('SREM', migration.pending, pk) end
  end
  return {'rows', reply[1], pack_rows(rows, request.width + 2)}
end

function action.write()
  local record, of_page = migration.read(), request.next ~= nil
  if of_page and (record.done or record.after ~= request.after) then
    local again = request.next == record.after or record.done and not request.next
    return again and {'ok', {}, {}} or {'moved', request.operation}
  end
  local changes = {}
  for _, change in ipairs(request.changes) do
    if of_page or call('SISMEMBER', migration.pending, change[1]) == 1 then changes[#changes + 1] = change end
  end
  local done, stale, refused = require('upkeep.conditional_changes')(m, changes)
  local write, left = require('server.undo').write, {}
  for _, pk in ipairs(request.left) do left[#left + 1] = pk end
  for _, pk in ipairs(stale) do left[#left + 1] = pk end
  for _, one in ipairs(refused) do left[#left + 1] = one[1] end
  for _, pk in ipairs(of_page and left or {}) do write('SADD', migration.pending, pk) end
  for _, pk in ipairs(of_page and {} or done) do write('SREM', migration.pending, pk) end
  if of_page then
    record.after, record.done = request.next, not request.next
    migration.write(record)
  end
  return {'ok', stale, refused}
end

return answer(function()
  migration.check()
  m = models.open(ARGV[3], ARGV[4], request.what == 'declare')
  return action[request.what]()
end)
