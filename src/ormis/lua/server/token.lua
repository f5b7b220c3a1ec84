-- The token of the call: what tells it from its repetition, see idempotency.lua.
-- In: the last of ARGV, taken away here: 12 characters name the caller, 12 digits are the number of this call in its
--     slot, the rest is the slot.
-- Out: calls, the key of the caller's hash; slot; sequence, the number; last, the text of the slot: the number and the
--      reply of the last call in it, false if there is none, a table if the server refuses to read it.

local KEY = require('server.keys')

local at = #ARGV
local token = ARGV[at]
ARGV[at] = nil
local calls, slot = KEY.prefix .. KEY.once .. string.sub(token, 1, 12), string.sub(token, 25)
local sequence, last = string.sub(token, 13, 24), redis.pcall('HGET', calls, slot)

return {calls = calls, slot = slot, sequence = sequence, last = last}
