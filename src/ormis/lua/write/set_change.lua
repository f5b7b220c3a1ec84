-- The change of the objects that a query has found, as change.lua describes it.
-- Out: change(rows, most), of the rows that meet what is expected of them, of no more than `most` if that is given.
--      Returns how many objects there were, the result of the mutation, the keys of those whose expectations did not
--      hold, and the keys of the others.

local lists = require('server.lists')
local extend, nothing = lists.extend, lists.nothing
local request = require('read.request')
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

local function change(rows, most)
  mutations.current = 1
  local m, keys, stale = mutations.model(1), {}, {}
  for i = 1, #rows do
    if #keys == most then break end
    local pk = rows[i][1]
    local list = holds_still(m, pk) and keys or stale
    list[#list + 1] = pk
  end
  local count, result = changing[request.mutation[1]](m, keys)
  apply(mutations.opened)
  return count, result, stale, keys
end

return change
