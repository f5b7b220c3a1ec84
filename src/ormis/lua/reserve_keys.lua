-- Counts up the automatic keys of a model, for objects that a block of atomic() writes at its end.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the model's key; ARGV[3] how many keys
-- Returns {'ok', the first of them, the distance to the next} or {outcome, ...}. A call that is repeated leaves a gap.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local next_id = require('write.next_id')

return answer(function()
  local last, step = next_id.last(ARGV[2]), next_id.step
  call('SET', KEY.prefix .. ARGV[2] .. KEY.next_id, next_id.successor(last, step * ARGV[3]))
  return {'ok', next_id.successor(last, step), string.format('%.0f', step)}
end)
