-- One command of a script; everything that reads or writes goes through it.
-- Out: call(command, key, ...), its reply; a refusal ends the script, see failure.lua.
--
-- Each call of a script makes its functions and tables anew. A function costs some 500 to 1,500 instructions, a small
-- table that grows 2,500 to 5,600, a command 5,000. So a library that few calls need is required inside the function
-- that needs it.

local pcommand = redis.pcall

local function call(command, key, ...)
  local reply = pcommand(command, key, ...)
  if type(reply) == 'table' and reply.err then require('server.failure').refuse(reply.err, key) end
  return reply
end

return call
