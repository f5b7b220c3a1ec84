-- The lock of migrations, and the ends of operations and of migrations.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the request, see upkeep/migration.lua, with `what`:
--   'lock'     takes the lock, or renews it
--   'unlock'   gives it back
--   'done'     the operation is done: its number is stored, its parts are forgotten
--   'end'      the migration is done: `entry` becomes that of the history; columns, {model -> JSON|false}, are stored
-- Returns {'ok'}, or {'held', text of the lock, milliseconds it lives} where another process has the lock, or {'moved',
-- number of operations done} where the operation is not the next one.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local migration = require('upkeep.migration')
local request = migration.request

local migrating = KEY.prefix .. KEY.migrating
local action = {}

function action.lock()
  migration.take_lock()
end

function action.unlock()
  if call('GET', migrating .. '/lock') == request.lock then call('DEL', migrating .. '/lock') end
end

-- The parts of an operation: their records, and the objects that are left of them.
local function forget_parts(number)
  local start = request.name .. '/' .. number .. '/'
  for _, field in ipairs(call('HKEYS', migrating)) do
    if string.sub(field, 1, #start) == start then
      call('HDEL', migrating, field)
      call('UNLINK', migrating .. '/' .. field)
    end
  end
end

function action.done()
  migration.take_lock()
  if tonumber(call('HGET', migrating, request.name) or 0) == request.operation + 1 then return end  -- comes again
  migration.check()
  call('HSET', migrating, request.name, request.operation + 1)
  forget_parts(request.operation)
end

action['end'] = function()
  migration.take_lock()
  if call('HGET', KEY.prefix .. KEY.migrations, request.name) == request.entry then return end
  migration.check()
  for model, columns in pairs(request.columns) do
    if columns then
      call('HSET', KEY.prefix .. KEY.columns, model, columns)
    else
      call('HDEL', KEY.prefix .. KEY.columns, model)
    end
  end
  call('HSET', KEY.prefix .. KEY.migrations, request.name, request.entry)
  call('HDEL', migrating, request.name)
end

return answer(function()
  action[request.what]()
  return {'ok'}
end)
