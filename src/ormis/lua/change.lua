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

local answer = require('server.server').answer
local request = require('read.request')
local find = require('read.search')
local change = require('write.set_change')

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
