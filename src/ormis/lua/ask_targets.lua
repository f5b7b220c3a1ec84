-- On a cluster: whether objects of this partition that another one refers to are there, and know of it.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list: number of the other partition, then model key, primary key, ...
-- Returns {'ok', {text, ...}}, of each object 'registered', 'unregistered', 'missing', or 'expired': it has ended, and
-- what refers to it is still to be changed or deleted.
-- Touched: model/expiry; see elsewhere.lua.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local elsewhere = require('write.elsewhere')
local entry, is_listed = elsewhere.entry, elsewhere.is_listed

local function has_ended(base, pk)
  local ends = call('ZSCORE', base .. KEY.expiry, pk)
  return ends and tonumber(ends) <= require('expiry.expiring').now()
end

local function state(model, pk, partition)
  local base, stored = KEY.prefix .. model, entry(model, pk)
  local registered = stored and is_listed(stored, partition)
  if call('EXISTS', base .. KEY.object .. pk) == 1 then return registered and 'registered' or 'unregistered' end
  local awaited = call('SISMEMBER', KEY.prefix .. KEY.orphaned .. model, pk) == 1
    or call('SISMEMBER', KEY.prefix .. KEY.expired .. model, pk) == 1 or has_ended(base, pk)
  return awaited and 'expired' or 'missing'
end

return answer(function()
  local asked, found = cmsgpack.unpack(ARGV[2]), {}
  for i = 2, #asked, 2 do found[#found + 1] = state(asked[i], asked[i + 1], asked[1]) end
  return {'ok', found}
end)
