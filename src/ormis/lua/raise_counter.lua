-- Lets the automatic keys of a model be counted from above another one on.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the model's key; ARGV[3] that key
-- Returns {'ok'}. A call that is repeated changes nothing.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local next_id = require('write.next_id')

return answer(function()
  if next_id.above(ARGV[3], next_id.last(ARGV[2])) then call('SET', KEY.prefix .. ARGV[2] .. KEY.next_id, ARGV[3]) end
  return {'ok'}
end)
