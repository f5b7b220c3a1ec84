-- Who runs migrations, and how far the one at work is. Touched:
--   ormis/migrations              hash: migration -> when it ran and the checksum of its code, as JSON
--   ormis/migrating               hash: migration -> how many of its operations are done; migration/operation/part ->
--                                 how far that part is, JSON {after = place|false, done = true when it is complete}
--   ormis/migrating/lock          who runs migrations; it ends if there is no sign of life
--   ormis/migrating/PART          set: the objects that are left of a part of an operation
-- In: ARGV[2], the packed request; of it lock, the text of the lock; life, the milliseconds it lives from now on;
--     name, the migration; operation, the number of it, from 0; part, its name.
-- Out: request; check(), which ends the script where another process has the lock, or the operation is not the next
--      one, and renews the lock; take_lock(); read(), the record of the part; write(record); pending, the key of the
--      objects left.

local KEY = require('server.keys')
local server = require('server.server')
local call, fail = server.call, server.fail

local request = cmsgpack.unpack(ARGV[2])
local migrating = KEY.prefix .. KEY.migrating
local lock = migrating .. '/lock'
local field = string.format('%s/%d/%s', request.name or '', request.operation or 0, request.part or '')

local pending = migrating .. '/' .. field

local function take_lock()
  local holder = call('GET', lock)
  if holder and holder ~= request.lock then fail('held', holder, call('PTTL', lock)) end
  call('SET', lock, request.lock, 'PX', request.life)
end

local function check()
  take_lock()
  local done = tonumber(call('HGET', migrating, request.name) or 0)
  if done ~= request.operation or call('HEXISTS', KEY.prefix .. KEY.migrations, request.name) == 1 then
    fail('moved', done)
  end
end

local function read()
  local text = call('HGET', migrating, field)
  return text and cjson.decode(text) or {after = false, done = false}
end

local function write(record)
  require('server.undo').write('HSET', migrating, field, cjson.encode(record))
end

return {
  request = request, check = check, take_lock = take_lock, read = read, write = write,
  pending = pending,
}
