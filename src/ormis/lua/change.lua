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
-- expectations did not hold, or {'ok', 'keys', {pk, ...}} and {'ok', 'walk'} as query.lua, where the texts are too long
-- for one call as well; the result is {model -> count} of deletions. Or {outcome, 1, ...} and nothing has changed.

local idempotency = require('server.idempotency')
if idempotency.reply then return idempotency.reply end

local lists = require('server.lists')
local as_set, extend, nothing = lists.as_set, lists.extend, lists.nothing
local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local request = require('read.request')
local find = require('read.search')
local reading = require('read.bytes')
local bytes, full = reading.bytes, reading.full
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

local function size_of(changes)
  local size = 0
  for i = 2, #changes, 2 do size = size + #(changes[i] or '') end
  return size
end

-- A function that counts the texts which the change of an object reads, and reads them, and those which it writes.
local function counter(m)
  local code, positions, size, long = request.mutation[1], nothing, 0, false
  if code == 'delete' then
    positions = require('write.cleared_columns')(m)
  elseif code == 'update' then
    positions, size = mutations.concerning(m, request.mutation[2]), size_of(request.mutation[2])
  end
  local may_be_long = as_set(request.long)
  for i = 1, #positions do long = long or may_be_long[positions[i]] end
  return function(pk)
    bytes.read = bytes.read + size
    if request.each then bytes.read = bytes.read + size_of(request.each[pk] or nothing) end
    local object = long and objects.find(m, pk, {unpack(positions)})
    for _, text in pairs(object and object.old or nothing) do bytes.read = bytes.read + #(text or '') end
  end
end

-- Changes as many of the objects as the texts allow that this reads and writes. Returns how many of the rows are done,
-- nil if these are not all of a whole result: then nothing is changed.
local function change(rows)
  mutations.current = 1
  local m, keys, stale, done = mutations.model(1), {}, {}, 0
  local count_bytes = counter(m)
  while done < #rows and (done == 0 or not full()) do
    done = done + 1
    local pk = rows[done][1]
    local list = holds_still(m, pk) and keys or stale
    list[#list + 1] = pk
    count_bytes(pk)
  end
  if done < #rows and not (request.keys or request.step) then return nil end
  local count, result = changing[request.mutation[1]](m, keys)
  apply(mutations.opened)
  return done, count, result, stale
end

local function keys_of(rows)
  for i = 1, #rows do rows[i] = rows[i][1] end
  return rows
end

-- Where the next step goes on if this one has changed an object last that is not the last it has looked at.
local function place_of(pk)
  if not request.keys then return call('ZSCORE', mutations.model(1).base .. KEY.ids, pk) end
  for i = 1, #request.keys do
    if request.keys[i] == pk then return i end
  end
end

return idempotency.remember(answer(function()
  local how, first, rows = find()
  if not rows then return {'ok', how, first} end
  if how == 'done' and #rows > request.most then return {'ok', 'keys', keys_of(rows)} end
  local done, count, result, stale = change(rows)
  if not done then return {'ok', 'keys', keys_of(rows)} end
  if how == 'done' then return {'ok', how, count, result} end
  if done < #rows then first = place_of(rows[done][1]) end
  return {'ok', how, first, count, result, stale}
end))
