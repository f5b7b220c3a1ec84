-- On a cluster: takes over objects that are in every partition, as the first partition has them: all or nothing. A call
-- that is repeated finds that it has nothing newer, and does nothing; so it needs no token.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list of rows, as read_copies.lua returns them; then shape, declaration of
--          each model. An object without a place is deleted, by the on_delete rules.
-- Returns {'ok', {model key -> count of deleted objects}}, {'behind', key of a model, primary key} if another object
-- has to be taken over with them, or {outcome, 1, ...} of a refusal.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer, fail = server.call, server.answer, server.fail
local apply = require('write.apply')
local mutations = require('write.mutations')
local objects = require('write.objects')
local tickets = require('write.tickets')

-- An object that is to be stored, and what it leaves; the rows of a call are all of one moment.
local function leave(m, pk)
  local positions = {}
  for position = 1, #m.columns do positions[position] = position end
  if m.expires and call('ZSCORE', m.base .. KEY.expiry, pk) and call('EXISTS', m.base .. KEY.object .. pk) == 0 then
    require('expiry.clearing').forget_objects(m, {pk})
  end
  local object = objects.find(m, pk, positions)
  if object then mutations.reclaim(m, object.new, nil, pk) end
end

local function count_up(m, pk)
  local next_id = require('write.next_id')
  if not m.last_id then m.last_id, m.stored_id = next_id.last(m.key) end
  if string.find(pk, '^%d+$') and next_id.above(pk, m.last_id) then m.last_id, m.counted = pk, true end
end

local function take(m, row, number)
  local pk, texts = row[2], {}
  for i = 6, #row, 2 do texts[tonumber(row[i])] = row[i + 1] end
  for position = 1, #m.columns do texts[position] = texts[position] or false end
  mutations.current = number
  mutations.check_references(m, texts)
  local _, _, other = mutations.conflict(m, texts, pk)
  if other then fail('behind', m.key, other) end
  mutations.reclaim(m, nil, texts, pk)
  if m.auto then count_up(m, pk) end
  local key, left = m.base .. KEY.object .. pk, tonumber(row[5])
  objects.put(m, pk, key, texts, tonumber(row[4]))
  if left >= 0 then
    local expiring = require('expiry.expiring')
    expiring.mark(m)
    objects.by_key[key].expires_at, objects.expiring = expiring.now() + math.max(left, 1), true
  end
end

-- What the first partition has not got is not waited for.
local function note_absent(rows)
  for _, row in ipairs(rows) do
    if row[4] == '' then mutations.there[mutations.model(tonumber(row[1])).base .. KEY.object .. row[2]] = true end
  end
end

-- First clears some of the remains of expired objects, in a batch of its own, as commit.lua does.
local function clear_away(rows)
  local cleared = {}
  for _, row in ipairs(rows) do
    local m = mutations.model(tonumber(row[1]))
    if m.expires and not cleared[m] then require('expiry.cleanup')(m, #rows) end
    cleared[m] = true
  end
end

return answer(function()
  local newer, counts = {}, {}
  local rows = cmsgpack.unpack(ARGV[2])
  clear_away(rows)
  for _, row in ipairs(rows) do
    if tickets.newer(mutations.model(tonumber(row[1])), row[2], row[3]) then newer[#newer + 1] = row end
  end
  mutations.awaited, mutations.current = {}, 1
  note_absent(rows)
  for _, row in ipairs(newer) do
    local m = mutations.model(tonumber(row[1]))
    if row[4] == '' then
      for key, count in pairs(require('write.deletion')(m, {row[2]})) do counts[key] = (counts[key] or 0) + count end
    else
      leave(m, row[2])
    end
  end
  for number, row in ipairs(newer) do
    if row[4] ~= '' then take(mutations.model(tonumber(row[1])), row, number) end
  end
  apply(mutations.opened)
  for _, row in ipairs(newer) do tickets.set(mutations.model(tonumber(row[1])), row[2], row[3]) end
  return {'ok', counts}
end)
