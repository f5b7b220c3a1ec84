-- The commands and the answer of a script, and the undo of its writes.
-- Out: call, see call.lua; pcommand, which is redis.pcall; bare and fail, see failure.lua; answer(main), which packs
--      the result of main or the outcome that ended it;
--      undoable(undo), a function that undoes the writes beside it; attempt(work, ...), which is pcall and undoes the
--      writes of work if it fails; keep(), after which no write so far is undone; restore(command, key, ...), a command
--      of an undo.

local call = require('server.call')
local failure = require('server.failure')
local bare, fail = failure.bare, failure.fail
local pcommand = redis.pcall

local undo_log, unrestored = {}, nil

local function undoable(undo)
  undo_log[#undo_log + 1] = undo
end

local function keep()
  undo_log = {}
end

local function restore(command, key, ...)
  local reply = pcommand(command, key, ...)
  local refused = type(reply) == 'table' and reply.err
  -- A key of a wrong type has not been written to.
  if not refused or string.find(refused, 'WRONGTYPE', 1, true) then return end
  if not require('server.unchanged')(command, key, ...) then unrestored = bare(key) end
end

-- The newest writes are undone first.
local function attempt(work, ...)
  local first = #undo_log + 1
  local ok, result = pcall(work, ...)
  for i = ok and 0 or #undo_log, first, -1 do
    undo_log[i]()
    undo_log[i] = nil
  end
  return ok, result
end

-- Runs main and packs its result, or the outcome that it ended with.
local function answer(main)
  local ok, result = attempt(main)
  if ok then return cmsgpack.pack(result) end
  if type(result) == 'table' and result.outcome then return cmsgpack.pack(result.outcome) end
  local text = type(result) == 'table' and (result.refusal or result.err) or 'ERR ormis: ' .. tostring(result)
  if unrestored then
    text = text .. '; the server refused the undo, too, of a change of ' .. unrestored
      .. ': ormis.check(repair=True) makes indexes and links agree with the objects'
  end
  return redis.error_reply(text)
end

return {
  bare = bare, call = call, pcommand = pcommand, fail = fail, answer = answer, undoable = undoable, attempt = attempt,
  keep = keep, restore = restore,
}
