-- Commands from a script: errors as data, never as a traceback.
-- Outcomes name keys without their prefix.
-- Out: bare(key), the key without the prefix; call(command, key, ...), which ends the script on an error; pcommand,
--      which is redis.pcall; fail(...), which ends the script with an outcome; answer(main), which packs what main
--      returns or the outcome.
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
    -- Redis 6.2 puts the place in the script before what it has to say: '@user_script: 7: -OOM ...'.
    error({refusal = string.match(reply.err, '^@user_script: %d+: %-(.+)$') or reply.err}, 0)
  end
  return reply
end

-- Runs main and packs what it returns, or the outcome it ended with.
local function answer(main)
  local ok, result = pcall(main)
  if ok then return cmsgpack.pack(result) end
  if type(result) == 'table' and result.outcome then return cmsgpack.pack(result.outcome) end
  if type(result) == 'table' then return redis.error_reply(result.refusal or result.err) end
  return redis.error_reply('ERR ormis: ' .. tostring(result))
end

return {bare = bare, call = call, pcommand = pcommand, fail = fail, answer = answer}
