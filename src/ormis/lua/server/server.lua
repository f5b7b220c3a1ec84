-- The commands and the answer of a script.
-- Out: call, see call.lua; pcommand, which is redis.pcall; bare and fail, see refusal.lua; answer(main), which packs
--      the result of main or the outcome that ended it.

local call = require('server.call')
local refusal = require('server.refusal')
local bare, fail = refusal.bare, refusal.fail
local pcommand = redis.pcall

local function answer(main)
  local ok, result = pcall(main)
  if ok then return cmsgpack.pack(result) end
  if type(result) == 'table' and result.outcome then return cmsgpack.pack(result.outcome) end
  if type(result) == 'table' then return redis.error_reply(result.refusal or result.err) end
  return redis.error_reply('ERR ormis: ' .. tostring(result))
end

return {bare = bare, call = call, pcommand = pcommand, fail = fail, answer = answer}
