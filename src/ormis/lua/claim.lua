-- Changes the first objects that a query finds, and returns them as they are then: one step, so that no two callers are
-- given the same object.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the request; then a shape and a declaration per model, that of the query first;
--          at the end the token of the call, see idempotency.lua
-- The request is one of change.lua, with want = 'claim' for the first objects in an order, as many as its limit, or
-- with `keys`; `most` is how many of these are changed.
-- Returns, as an array, {'ok', how, {pk, ...}, {pk, ...}} and the rows of the changed objects; the second keys are of
-- those whose expectations did not hold. Or {'ok', 'keys'} and {'ok', 'walk'} where the first objects are not to be
-- found in one call, or {outcome, 1, ...}; then nothing has changed.
-- The reply that is kept for a repeated call has the keys alone: the rows are read when it is answered.

local KEY = require('server.keys')
local idempotency = require('server.idempotency')

local kept, pks = idempotency.reply, nil

if kept then
  local reply = type(kept) == 'string' and cmsgpack.unpack(kept) or {}
  pks = reply[1] == 'ok' and reply[3]
else
  local request = require('read.request')
  kept = idempotency.remember(require('server.server').answer(function()
    local how, _, rows = require('read.search')()
    if not rows then return {'ok', how} end
    local _, _, stale, keys = require('write.set_change')(rows, request.most)
    pks = keys
    return {'ok', how, keys, stale}
  end))
end

if not pks or type(kept) ~= 'string' then return kept end

local m, rows = cmsgpack.unpack(ARGV[3]), {}
for i = 1, #pks do
  local row = redis.pcall('HMGET', KEY.prefix .. m.key .. KEY.object .. pks[i], unpack(m.columns))
  if row[1] then rows[#rows + 1] = row end  -- another one has deleted it before a repeated call
end
return {kept, require('server.pack_rows')(rows, #m.columns)}
