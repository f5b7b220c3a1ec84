-- What the change of one object means for the index entries and for its hash. An object is as in objects.lua.
-- Out: index_changes(object, old, new, emit), write_hash(object).

local call = require('server.server').call
local models = require('model.models')

-- Calls emit(command, key, argument, argument|nil) for every index entry that differs between two rows of an object.
local function index_changes(object, old, new, emit)
  local m, pk, changed, entry = object.m, object.pk, object.changed, models.entry
  for i = 1, #m.indexes, 5 do
    if not (old and new and changed) or models.concerned(m, i, changed) then
      local key, member, number, old_key, old_member, old_number
      if new then key, member, number = entry(m, i, new, pk) end
      if old then old_key, old_member, old_number = entry(m, i, old, pk) end
      local kept = key == old_key and member == old_member
      if old_key and not kept then
        emit(old_number and 'ZREM' or 'SREM', old_key, old_member)
      end
      if key and not (kept and number == old_number) then
        if number then emit('ZADD', key, number, member) else emit('SADD', key, member) end
      end
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

local function write_hash(object)
  local columns, new, changed, old = object.m.columns, object.new, object.changed, object.old
  if not new then
    if old then call('DEL', object.key) end
    return
  end
  if not old then return write_new_hash(object) end
  local set, count, gone = {}, 0, nil
  for position = 1, #columns do
    if not changed or changed[position] then
      local text = new[position]
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
  if count > 0 then call('HSET', object.key, unpack(set, 1, count)) end
  if gone then call('HDEL', object.key, unpack(gone)) end
end

return {index_changes = index_changes, write_hash = write_hash}
