-- The objects a commit touches, as they will be: read once, changed in memory, written at the end by apply().
-- An object is {m, pk, key, old, new, loaded, changed, creation_order, expires_at}: old and new are rows (texts by
-- column position, false if absent), nil if the object is not there; loaded says which columns have been read, nil for
-- all; changed says which differ, nil for all; creation_order is where a new one stands in the order of creation;
-- expires_at is a time, false for never, nil for no change of that.
-- Out: objects: the list of them in the order of first touch, and count; by_key; expiring, true if one of them has an
--      expires_at; known(key), find(m, pk, positions), need(object, positions), put(m, pk, key, row, creation_order).

local KEY = require('server.keys')
local call = require('server.call')
local models = require('model.models')

local objects = {by_key = {}, count = 0}

local function track(object)
  local count = objects.count + 1
  objects.count, objects[count], objects.by_key[object.key] = count, object, object
end

-- Reads the columns at these positions that are not read yet.
function objects.need(object, positions)
  local loaded = object.loaded
  if not loaded then return end
  local columns, names, at, count = object.m.columns, {}, {}, 0
  for i = 1, #positions do
    local position = models.source(object.m, positions[i])
    if not loaded[position] then
      loaded[position] = true
      count = count + 1
      names[count], at[count] = columns[position], position
    end
  end
  if count == 0 then return end
  local texts = call('HMGET', object.key, unpack(names, 1, count))
  local old, new = object.old, object.new
  for i = 1, count do
    local position, text = at[i], texts[i]
    old[position] = text
    if new ~= old then new[position] = text end
  end
end

-- The object with this key, with at least these columns; nil where there is none (or none any more, after what the
-- batch did so far). Its rows are one until it is changed.
function objects.find(m, pk, positions)
  local key = m.base .. KEY.object .. pk
  local object = objects.by_key[key]
  if object then
    if not object.new then return nil end
    objects.need(object, positions)
    return object
  end
  local row = {}
  object = {m = m, pk = pk, key = key, old = row, new = row, loaded = {}, changed = {}}
  positions[#positions + 1] = 1
  objects.need(object, positions)
  if not row[1] then return nil end
  track(object)
  return object
end

-- True where there is an object with this key, after what the batch did so far.
function objects.known(key)
  local object = objects.by_key[key]
  if object then return object.new ~= nil end
  return call('EXISTS', key) == 1
end

function objects.put(m, pk, key, row, creation_order)
  local object = objects.by_key[key]
  if not object then
    track({m = m, pk = pk, key = key, new = row, creation_order = creation_order})
    return
  end
  object.new, object.loaded, object.changed = row, nil, nil
  object.creation_order, object.expires_at = creation_order, false
end

return objects
