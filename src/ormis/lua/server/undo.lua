-- Writes that are undone if the script fails behind them.
-- In: KEYS[1] ormis/models.
-- Out: write(command, key, ...), which reads first what the command is to change; remove(key), a command of an undo;
--      check_rights(commands), of a set of names of commands, before the first of them is sent.

local server = require('server.server')
local call, pcommand, restore, undoable = server.call, server.pcommand, server.restore, server.undoable
local structures = require('server.structures')
local SET, SORTED_SET, HASH = structures.SET, structures.SORTED_SET, structures.HASH

-- A user may have one of these rights without the other.
local function remove(key)
  local reply = pcommand('UNLINK', key)
  if type(reply) == 'table' then restore('DEL', key) end
end

local function undo_of_parts(command, key, ...)
  local structure, names = structures.by_command[command], structures.names_of(command, ...)
  local before, absent, present = call(structure.read, key, unpack(names)), {}, {}
  for i, name in ipairs(names) do
    local value = before[i]
    if not value or value == 0 then
      absent[#absent + 1] = name
    elseif structure == SET then
      present[#present + 1] = name
    elseif structure == HASH then
      present[#present + 1], present[#present + 2] = name, value
    else
      present[#present + 1], present[#present + 2] = value, name
    end
  end
  return function()
    if command == structure.add and #absent > 0 then restore(structure.remove, key, unpack(absent)) end
    if command ~= 'SADD' and #present > 0 then restore(structure.add, key, unpack(present)) end
  end
end

local function undo_of_text(_, key)
  local before = call('GET', key)
  return function()
    if before then restore('SET', key, before) else remove(key) end
  end
end

local function undo_of_end(_, key)
  local left = call('PTTL', key)
  return function()
    if left >= 0 then restore('PEXPIRE', key, math.max(left, 1)) else restore('PERSIST', key) end
  end
end

local OTHERS = {SET = undo_of_text, SETNX = undo_of_text, PEXPIREAT = undo_of_end, PERSIST = undo_of_end}

local function write(command, key, ...)
  local undo = (OTHERS[command] or undo_of_parts)(command, key, ...)
  local reply = call(command, key, ...)
  undoable(undo)
  return reply
end

-- Ends the script if the user may not send this command. The probe that an older server needs changes nothing, since
-- ormis/models holds a hash and its arguments are too many or too few.
local function check_right(command)
  if redis.acl_check_cmd and redis.acl_check_cmd(command, KEYS[1], '', '', '') then return end
  local reply = pcommand(command, KEYS[1], '', '', '')
  local text = type(reply) == 'table' and reply.err and require('server.refusal')(reply.err)
  if text and string.find(text, '^NOPERM') then error({refusal = text}, 0) end
end

-- A command is undone by its opposite: if both are to be sent, and the user may not send one of
-- them, the writes of the other could not be undone.
local function check_rights(commands)
  for _, structure in ipairs({SET, SORTED_SET, HASH}) do
    if commands[structure.add] and commands[structure.remove] then
      check_right(structure.add)
      check_right(structure.remove)
    end
  end
end

return {write = write, remove = remove, check_rights = check_rights}
