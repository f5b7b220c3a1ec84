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

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local request = require('read.request')
local find = require('read.search')
local clear_with = require('read.open_models').clear_with
local mutations = require('write.mutations')
local change = require('write.set_change')

clear_with(require('expiry.cleanup'))

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
