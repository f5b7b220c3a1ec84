-- Changes what a query finds, as one step: all of the objects that it reports, or none.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the request; then a shape and a declaration per model, that of the query first;
--          at the end the token of the call, see idempotency.lua
-- The request is one of query.lua, with want = 'change' and
--   mutation = {code, argument, ...}   done to each object, as commit.lua has it, its model and its key left out
--   each = {pk -> {position, text, ...}}      of some objects further changes, and
--   expected = {pk -> {position, text|false, ...}}   what must still hold, or the object is left alone
--   most                               how many objects one step may change
-- Returns {'ok', 'done', count, result}, {'ok', 'step', place, count, result, {pk, ...}}, the keys being of those whose
-- expectations did not hold, or {'ok', 'keys', {pk, ...}} and {'ok', 'walk'} as query.lua; the result is {model ->
-- count} of deletions. Or {outcome, 1, ...} and nothing has changed.

local idempotency = require('server.idempotency')
if idempotency.reply then return idempotency.reply end

local lists = require('server.lists')
local extend, nothing = lists.extend, lists.nothing
local answer = require('server.server').answer
local request = require('read.request')
local find = require('read.search')
local clear_with = require('read.open_models').clear_with
local models = require('model.models')
local actions = require('write.actions')
local apply = require('write.apply')
local mutations = require('write.mutations')
local objects = require('write.objects')

clear_with(require('expiry.cleanup'))

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

local function change(rows)
  mutations.current = 1
  local m, keys, stale = mutations.model(1), {}, {}
  for i = 1, #rows do
    local pk = rows[i][1]
    local list = holds_still(m, pk) and keys or stale
    list[#list + 1] = pk
  end
  local count, result = changing[request.mutation[1]](m, keys)
  apply(mutations.opened)
  return count, result, stale
end

local function keys_of(rows)
  for i = 1, #rows do rows[i] = rows[i][1] end
  return rows
end

return idempotency.remember(answer(function()
  local how, first, rows = find()
  if not rows then return {'ok', how, first} end
  if how == 'done' and #rows > request.most then return {'ok', 'keys', keys_of(rows)} end
  local count, result, stale = change(rows)
  if how == 'done' then return {'ok', how, count, result} end
  return {'ok', how, first, count, result, stale}
end))
