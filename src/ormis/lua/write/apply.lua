-- Writes what a batch has changed: first what is derived from the objects, then their hashes.
-- The derived keys alone can fail, with a wrong type at one of them: then the same changes are written backwards, from
-- the new rows to the old ones, which undoes them whatever part was written, and no hash has been touched.
-- Out: apply(opened), the models of the batch.

local KEY = require('server.keys')
local server = require('server.server')
local call, pcommand = server.call, server.pcommand
local models = require('model.models')
local changes = require('write.index_changes')
local index_changes, write_hash = changes.index_changes, changes.write_hash
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
    if not (old and new and changed) or models.touches(fields, changed) then
      local before, after = old and models.claim(fields, old), new and models.claim(fields, new)
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
    emit('ZADD', object.m.base .. KEY.ids, object.creation_order, object.pk)
  elseif old and not new then
    local key = object.m.base .. KEY.ids
    object.creation_order = object.creation_order or call('ZSCORE', key, object.pk)
    emit('ZREM', key, object.pk)
  end
end

local function write_derived(backwards, invoke)
  if objects.count == 1 then return derived_changes(objects[1], backwards, invoke) end
  local add, send = require('write.variadic')()
  for i = 1, objects.count do derived_changes(objects[i], backwards, add) end
  send(invoke)
end

-- New objects first: only theirs can fail, where something else holds their key; nothing else has been written then.
local function write_hashes()
  local written = 0
  local ok, failure = pcall(function()
    for i = 1, objects.count do
      if not objects[i].old and objects[i].new then write_hash(objects[i]) end
      written = i
    end
  end)
  if not ok then
    for i = 1, written do
      if not objects[i].old then pcommand('DEL', objects[i].key) end
    end
    write_derived(true, pcommand)
    error(failure, 0)
  end
  for i = 1, objects.count do
    if objects[i].old then write_hash(objects[i]) end
  end
end

local function apply(opened)
  local ok, failure = pcall(write_derived, false, call)
  if not ok then
    write_derived(true, pcommand)
    error(failure, 0)
  end
  write_hashes()
  local expires = objects.expiring
  for _, m in pairs(opened) do
    expires = expires or m.expires
    if m.counted then call('SET', m.base .. KEY.next_id, m.last_id) end
  end
  if expires then
    local write_expiry = require('expiry.write_expiry')
    for i = 1, objects.count do write_expiry(objects[i]) end
  end
  if mutations.links then require('write.links').write() end
end

return apply
