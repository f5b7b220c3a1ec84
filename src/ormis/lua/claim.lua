-- Changes the first objects that a query finds, and returns them as they are then: one step, so that no two callers are
-- given the same object.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the request; then a shape and a declaration per model, that of the query first;
--          at the end the token of the call, see idempotency.lua
-- The request is one of change.lua, with want = 'claim' for the first objects in an order, as many as its limit, or
-- with `keys`; `most` is how many of these are changed.
-- Returns, as an array, {'ok', how, {pk, ...}, looked} and the rows of the changed objects: 'done' for all that are
-- asked for, 'step' where the texts of further ones are too long for this call; of `keys` how many were looked at. Or,
-- of one object, three or more texts, see claim_one.lua. Or
-- {'ok', 'keys'} and {'ok', 'walk'} where the first objects are not to be found in one call, or {outcome, 1, ...}; then
-- nothing has changed.
-- The reply that is kept for a repeated call has the keys alone: the rows are read when it is answered.

local idempotency = require('server.idempotency')
local claim_one = require('write.claim_one')

if not idempotency.reply then
  local texts, key = claim_one()
  if texts then
    idempotency.remember('\147\162ok\164done\145' .. key)
    return texts
  end
end

local claim_first = require('write.fast_claim')
local pack_rows = require('server.pack_rows')

if not idempotency.reply then
  local claimed, rows, width, how = claim_first()
  if claimed then
    return {idempotency.remember(cmsgpack.pack({'ok', how, claimed})), pack_rows(rows, width)}
  end
end

local KEY = require('server.keys')
local answer = require('server.server').answer
local find = require('read.search')
local first = require('read.plan')
local request = require('read.request')
local open_models = require('read.open_models')
local clear_with, model_at = open_models.clear_with, open_models.model_at
local set_change = require('write.set_change')

clear_with(require('expiry.cleanup'))

-- How many of the keys that the caller names are done with the last of these rows.
local function looked_at(pk)
  for i = 1, #request.keys do
    if request.keys[i] == pk then return i end
  end
end

local function claim()
  local changes = request.mutation[2]
  for i = 2, #changes, 2 do changes[i] = first.bound(changes[i]) end
  local how, looked, rows = find()
  if not rows then return {'ok', how} end
  local done, _, _, _, keys = set_change(rows, request.most, true)
  if request.renew and #keys > 0 then
    require('expiry.renewing').renew(model_at(1).base, request.renew[2], keys)
  end
  if done == #rows then return {'ok', how, keys, looked} end
  return {'ok', 'step', keys, request.keys and looked_at(rows[done][1])}
end

local kept = idempotency.reply or idempotency.remember(answer(claim))
local reply = type(kept) == 'string' and cmsgpack.unpack(kept) or {}
if reply[1] ~= 'ok' or not reply[3] then return kept end

-- The objects as they are now. Another caller may have deleted one of them before a repeated call.
local m, rows = cmsgpack.unpack(ARGV[3]), {}
for i = 1, #reply[3] do
  local row = redis.pcall('HMGET', KEY.prefix .. m.key .. KEY.object .. reply[3][i], unpack(m.columns))
  if row[1] then rows[#rows + 1] = row end
end
return {kept, pack_rows(rows, #m.columns)}
