-- Writes the changes of a batch: first the data derived from objects, then their hashes, last the commands that can't
-- be undone. A command that the server refuses ends the script; what was written before is undone then: of what is
-- derived the same changes are written backwards, from the new rows to the old ones, whatever part of them was written.
-- Out: apply(opened), the models of the batch.

local KEY = require('server.keys')
local server = require('server.server')
local call, restore, undoable = server.call, server.restore, server.undoable
local nothing = require('server.lists').nothing
local models = require('model.models')
local changes = require('write.index_changes')
local index_changes, write_hash = changes.index_changes, changes.write_hash
local write_columns, add_hash_commands = changes.write_columns, changes.add_hash_commands
local mutations = require('write.mutations')
local objects = require('write.objects')

-- The same for unique claims. While a constraint is incomplete, objects may share a value: the claim is left to the one
-- that has it.
local function claim_changes(object, old, new, emit)
  local m, changed = object.m, object.changed
  local function others(key, value, name)
    local holder_pk = m.incomplete and m.incomplete[name] and call('HGET', key, value)
    return holder_pk and holder_pk ~= object.pk
  end
  for i = 1, #m.unique, 2 do
    local fields = m.unique[i + 1]
    if not (old and new and changed) or models.touches(m, fields, changed) then
      local before, after = old and models.claim(m, fields, old), new and models.claim(m, fields, new)
      if before ~= after then
        local key = m.base .. KEY.unique .. m.unique[i]
        if before and not others(key, before, m.unique[i]) then emit('HDEL', key, before) end
        if after and not others(key, after, m.unique[i]) then emit('HSET', key, after, object.pk) end
      end
    end
  end
end

-- Everything derived from one object; backwards, from its new row to the old one.
local function derived_changes(object, backwards, emit)
  local old, new = object.old, object.new
  if backwards then old, new = new, old end
  if not (old or new) then return end
  index_changes(object, old, new, emit)
  if #object.m.unique > 0 then claim_changes(object, old, new, emit) end
  if new and not old then
    if object.creation_order then emit('ZADD', object.m.base .. KEY.ids, object.creation_order, object.pk) end
  elseif old and not new then
    local key = object.m.base .. KEY.ids
    object.creation_order = object.creation_order or call('ZSCORE', key, object.pk)
    emit('ZREM', key, object.pk)
  end
end

-- One object that is new or goes takes commands that add or remove, not both: they need not be collected.
local function is_simple()
  return objects.count == 1 and not (objects[1].old and objects[1].new)
end

local function undo_derived()
  if is_simple() then return derived_changes(objects[1], true, restore) end
  local add, send = require('write.variadic')({})
  for i = 1, objects.count do derived_changes(objects[i], true, add) end
  send(restore)
end

local function write_derived(commands)
  local add, send = require('write.variadic')(commands)
  for i = 1, objects.count do
    derived_changes(objects[i], false, add)
    add_hash_commands(objects[i], commands)
  end
  for i = 1, #(mutations.links or nothing), 3 do commands[mutations.links[i]] = true end
  require('server.undo').check_rights(commands)
  undoable(undo_derived)
  send(call)
end

local reached = 0

-- Of the last hash that was reached one command of two may have been refused; of a new one all.
local function undo_hashes()
  for i = 1, math.min(reached, objects.count) do
    local object = objects[i]
    if object.old and object.new then
      write_columns(object, object.old, restore)
    elseif object.new and i < reached then
      require('server.undo').remove(object.key)
    end
  end
end

local function write_hashes()
  reached = 0
  undoable(undo_hashes)
  for i = 1, objects.count do
    reached = i
    write_hash(objects[i])
  end
  reached = reached + 1
end

-- The last commands, since nothing undoes them: the server carries out one for thousands of objects, or refuses it.
local function delete_hashes()
  local keys = {}
  for i = 1, objects.count do
    if objects[i].old and not objects[i].new then keys[#keys + 1] = objects[i].key end
  end
  for first = 1, #keys, 4000 do call('DEL', unpack(keys, first, math.min(first + 3999, #keys))) end
end

local function apply(opened)
  mutations.check_at_end()
  local commands, expires, copied, write_times = {}, objects.expiring, false, nil
  for _, m in pairs(opened) do expires, copied = expires or m.expires, copied or m.copied end
  if expires then write_times = require('expiry.write_expiry')(commands) end
  if is_simple() then
    undoable(undo_derived)
    derived_changes(objects[1], false, call)
  else
    write_derived(commands)
  end
  write_hashes()
  for _, m in pairs(opened) do
    if m.counted then
      call('SET', m.base .. KEY.next_id, m.last_id)
      undoable(function()
        if m.stored_id then restore('SET', m.base .. KEY.next_id, m.stored_id) end
        if not m.stored_id then require('server.undo').remove(m.base .. KEY.next_id) end
      end)
    end
  end
  if expires then write_times() end
  if mutations.links then require('write.links').write() end
  if copied then require('write.tickets').stamp() end
  delete_hashes()
end

return apply
