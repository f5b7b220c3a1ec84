-- Whether a key is already as a command would leave it: then it does not matter that the server refuses the command.
-- Out: unchanged(command, key, ...).

local structures = require('server.structures')
local pcommand = redis.pcall

-- Whether a part, as it was read, is as the command would leave it; i: its number among those that the command names.
local function is_left_so(command, own, i, arguments)
  if command == 'SADD' then return own end
  if command == 'ZADD' then return own and tonumber(own) == tonumber(arguments[2 * i - 1]) end
  if command == 'HSET' then return own == arguments[2 * i] end
  return not own
end

local function unchanged(command, key, ...)
  if command == 'DEL' or command == 'UNLINK' then return pcommand('EXISTS', key) == 0 end
  local structure = structures.by_command[command]
  if not structure then return false end
  local arguments, names = {...}, structures.names_of(command, ...)
  local found = pcommand(structure.read, key, unpack(names))
  if found.err then return false end
  for i = 1, #names do
    if not is_left_so(command, found[i] ~= 0 and found[i], i, arguments) then return false end
  end
  return true
end

return unchanged
