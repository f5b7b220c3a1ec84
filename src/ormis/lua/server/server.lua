-- Commands from a script: errors as data, never as a traceback; and the undo of what a script has written before one.
-- Outcomes name keys without their prefix.
-- Out: bare(key), the key without the prefix; call(command, key, ...), which ends the script on an error; pcommand,
--      which is redis.pcall; fail(...), which ends the script with an outcome; answer(main), which packs what main
--      returns or the outcome.
--      undoable(undo), a function that undoes the writes beside it; attempt(work, ...), which is pcall and undoes
--      what work has written if it fails; keep(), after which nothing that has been written is undone;
--      restore(command, key, ...), a command of an undo.
--
-- What every script of this folder minds: each call makes its functions and tables anew. A function costs some 500 to
-- 1,500 instructions, a small table that grows 2,500 to 5,600, a command 5,000. So a library that few calls need is
-- required inside the function that needs it.

local prefix, pcommand = require('server.keys').prefix, redis.pcall

local function bare(key)
  return string.sub(key, #prefix + 1)
end

-- Ends the script with an outcome: its code and what the caller needs to name the culprit.
local function fail(...)
  error({outcome = {...}}, 0)
end

-- One command. A wrong type at a key is an outcome that names the key; other refusals stay the server's own error.
local function call(command, key, ...)
  local reply = pcommand(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then
      fail('wrongtype', bare(key), pcommand('TYPE', key).ok)
    end
    error({refusal = require('server.refusal')(reply.err)}, 0)
  end
  return reply
end

local undo_log, unrestored = {}, nil

local function undoable(undo)
  undo_log[#undo_log + 1] = undo
end

local function keep()
  undo_log = {}
end

local function restore(command, key, ...)
  local reply = pcommand(command, key, ...)
  local failure = type(reply) == 'table' and reply.err
  -- What holds a wrong type has not been written to.
  if failure and not string.find(failure, 'WRONGTYPE', 1, true) then unrestored = bare(key) end
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

-- Runs main and packs what it returns, or the outcome it ended with.
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
