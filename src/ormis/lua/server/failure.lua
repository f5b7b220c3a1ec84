-- How a script ends if it can't do its work: errors are data, never a traceback. Outcomes name keys without their
-- prefix.
-- Out: bare(key), the key without the prefix; fail(...), which ends the script with an outcome; refuse(text, key),
--      which ends it with the error of a command.

local prefix = require('server.keys').prefix

local function bare(key)
  return string.sub(key, #prefix + 1)
end

-- An outcome is its code and the values that the message names.
local function fail(...)
  error({outcome = {...}}, 0)
end

-- A wrong type at a key is an outcome that names the key; other refusals stay the server's own error.
local function refuse(text, key)
  if string.find(text, 'WRONGTYPE', 1, true) then
    fail('wrongtype', bare(key), redis.pcall('TYPE', key).ok)
  end
  error({refusal = require('server.refusal')(text)}, 0)
end

return {bare = bare, fail = fail, refuse = refuse}
