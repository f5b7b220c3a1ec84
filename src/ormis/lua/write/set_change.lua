-- The change of the objects that a query has found, as change.lua describes it.
-- Out: change(rows, most, whole), of the rows that meet what is expected of them, as many as the texts allow that this
--      reads and writes, and no more than `most` if that is given; of `whole` objects all texts count, since they are
--      returned. Returns how many of the rows are done, how many objects there were, the result of the mutation, the
--      keys of those whose expectations did not hold, and the keys of the others.

local lists = require('server.lists')
local as_set, extend, nothing = lists.as_set, lists.extend, lists.nothing
local request = require('read.request')
local reading = require('read.bytes')
local bytes, full = reading.bytes, reading.full
local models = require('model.models')
local actions = require('write.actions')
local apply = require('write.apply')
local mutations = require('write.mutations')
local objects = require('write.objects')

local function holds_still(m, pk)
  local expected = request.expected and request.expected[pk]
  if not expected then return true end
  local object = objects.find(m, pk, {})
  if not object then return false end
  for i = 1, #expected, 2 do
    objects.need(object, {expected[i]})
    local position, text = expected[i], object.new[expected[i]] or false
    if text ~= expected[i + 1] and models.text_or_default(m, position, text) ~= expected[i + 1] then return false end
  end
  return true
end

-- One function for each kind of change. Returns how many of the objects there are, and the result. Objects without a
-- hash, which another program deleted or the server evicted, do not count.
local changing = {}

function changing.expire(m, keys)
  return actions.expire(m, {'expire', 1, keys, request.mutation[2]}), nothing
end

function changing.delete(m, keys)
  return #keys, actions.delete(m, {'delete', 1, keys, request.mutation[2]})
end

-- A mutation has its own list of changes: arithmetic adds to it.
function changing.update(m, keys)
  local first, more, count = request.mutation[2], request.each or nothing, 0
  for i = 1, #keys do
    local own = {}
    extend(own, first)
    extend(own, more[keys[i]] or nothing)
    if actions.amend(m, {'amend', 1, keys[i], own, unpack(request.mutation, 3)}) then count = count + 1 end
  end
  return count, nothing
end

local function size_of(changes)
  local size = 0
  for i = 2, #changes, 2 do size = size + #(changes[i] or '') end
  return size
end

-- A function that counts the texts which the change of an object reads, and reads them, and those which it writes.
local function counter(m, whole)
  local code, positions, size, long = request.mutation[1], nothing, 0, false
  if code == 'delete' then
    positions = require('write.cleared_columns')(m)
  elseif code == 'update' then
    positions, size = mutations.concerning(m, request.mutation[2]), size_of(request.mutation[2])
  end
  if whole then extend(positions, request.long) end
  local may_be_long = as_set(request.long)
  for i = 1, #positions do long = long or may_be_long[positions[i]] end
  return function(pk)
    bytes.read = bytes.read + size
    if request.each then bytes.read = bytes.read + size_of(request.each[pk] or nothing) end
    local object = long and objects.find(m, pk, {unpack(positions)})
    for _, text in pairs(object and object.old or nothing) do bytes.read = bytes.read + #(text or '') end
  end
end

local function change(rows, most, whole)
  mutations.current = 1
  local m, keys, stale, done = mutations.model(1), {}, {}, 0
  local count_bytes = counter(m, whole)
  while done < #rows and #keys ~= most and (done == 0 or not full()) do
    done = done + 1
    local pk = rows[done][1]
    local list = holds_still(m, pk) and keys or stale
    list[#list + 1] = pk
    count_bytes(pk)
  end
  if done < #rows and request.want == 'change' and not (request.keys or request.step) then return nil end
  local count, result = changing[request.mutation[1]](m, keys)
  apply(mutations.opened)
  return done, count, result, stale, keys
end

return change
