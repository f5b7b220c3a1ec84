-- The changes of one object's index entries and hash. An object is as in objects.lua.
-- Out: index_changes(object, old, new, emit), write_hash(object), write_columns(object, row, emit),
--      add_hash_commands(object, commands).

local call = require('server.call')
local index_kinds = require('model.index_kinds')
local models = require('model.models')

local function emit_addition(command, key, member, number, emit)
  if number then emit(command, key, number, member) else emit(command, key, member) end
end

-- The entries of one row in an index with any number of them: a list, and the score or true by key and member.
local function entries_of(m, i, row, pk)
  local list, numbers = {}, {}
  if row then
    models.each_entry(m, i, row, pk, function(key, member, number)
      local name = #key .. ':' .. key .. member
      list[#list + 1] = {key = key, member = member, number = number, name = name}
      numbers[name] = number or true
    end)
  end
  return list, numbers
end

local function several_changes(m, i, old, new, pk, emit)
  local stored = index_kinds[m.indexes[i]].stored
  local before, old_numbers = entries_of(m, i, old, pk)
  local after, new_numbers = entries_of(m, i, new, pk)
  for _, entry in ipairs(before) do
    if not new_numbers[entry.name] then emit(stored.remove, entry.key, entry.member) end
  end
  for _, entry in ipairs(after) do
    if old_numbers[entry.name] ~= new_numbers[entry.name] then
      emit_addition(stored.add, entry.key, entry.member, entry.number, emit)
    end
  end
end

local function one_change(m, i, old, new, pk, emit)
  local key, member, number, old_key, old_member, old_number
  if new then key, member, number = models.entry(m, i, new, pk) end
  if old then old_key, old_member, old_number = models.entry(m, i, old, pk) end
  local kept, stored = key == old_key and member == old_member, index_kinds[m.indexes[i]].stored
  if old_key and not kept then emit(stored.remove, old_key, old_member) end
  if key and not (kept and number == old_number) then emit_addition(stored.add, key, member, number, emit) end
end

-- Calls emit(command, key, argument, argument|nil) for every index entry that differs between two rows of an object.
local function index_changes(object, old, new, emit)
  local m, pk, changed = object.m, object.pk, object.changed
  for i = 1, #m.indexes, 5 do
    if not (old and new and changed) or models.concerned(m, i, changed) then
      local change = index_kinds[m.indexes[i]].entries and several_changes or one_change
      change(m, i, old, new, pk, emit)
    end
  end
end

-- The hash of a new object. Its arguments are laid out once per model; an object without absent fields only fills
-- them in.
local function write_new_hash(object)
  local m, new = object.m, object.new
  local columns, set, count = m.columns, m.set or {}, 0
  m.set = set
  for position = 1, #columns do
    local text = new[position]
    if text then
      set[count + 1], set[count + 2] = columns[position], text
      count = count + 2
    end
  end
  call('HSET', object.key, unpack(set, 1, count))
end

-- The changed columns of an object that is there, as this row has them.
local function write_columns(object, row, emit)
  local columns, changed, set, count, gone = object.m.columns, object.changed, {}, 0, nil
  for position = 1, #columns do
    if not changed or changed[position] then
      local text = row[position]
      if text then
        set[count + 1] = columns[position]
        set[count + 2] = text
        count = count + 2
      else
        gone = gone or {}
        gone[#gone + 1] = columns[position]
      end
    end
  end
  if count > 0 then emit('HSET', object.key, unpack(set, 1, count)) end
  if gone then emit('HDEL', object.key, unpack(gone)) end
end

-- Nothing is written of an object that goes.
local function write_hash(object)
  if not object.new then return end
  if object.old then return write_columns(object, object.new, call) end
  write_new_hash(object)
end

-- Enters the commands of write_hash() into a set.
local function add_hash_commands(object, commands)
  local new, changed = object.new, object.changed
  if not new then return end
  commands.HSET = commands.HSET or not object.old
  for position = 1, object.old and #object.m.columns or 0 do
    if not changed or changed[position] then commands[new[position] and 'HSET' or 'HDEL'] = true end
  end
end

return {
  index_changes = index_changes, write_hash = write_hash, write_columns = write_columns,
  add_hash_commands = add_hash_commands,
}
