-- Recognises a call that comes again: it is answered as the first time and nothing is done. For scripts that write.
-- Where the connection breaks, redis-py sends the call once more; the one before may have been carried out, or lie in
-- a buffer of the server and be carried out after its repetition. So every call is checked, not only repetitions.
-- Touched: ormis/once/CALLER, a hash: slot -> the number of its last call, 12 digits, and the reply. It ends an hour
-- after its last new slot; a caller takes another name long before that.
-- Out: reply, the answer to a retried call, nil for a new call; remember(new_reply), to be called when all is
--      written, which returns it.

local KEY = require('server.keys')
local token = require('server.token')
local calls, slot, sequence, last = token.calls, token.slot, token.sequence, token.last

local reply
if type(last) == 'string' then
  local number = string.sub(last, 1, 12)
  if number == sequence then
    reply = string.sub(last, 13)
  elseif number > sequence then
    reply = redis.error_reply('ERR ormis: this call was given up by its caller, who has made others since')
  end
elseif last then
  if string.find(last.err, 'WRONGTYPE', 1, true) then
    reply = cmsgpack.pack({'wrongtype', string.sub(calls, #KEY.prefix + 1), redis.pcall('TYPE', calls).ok})
  else
    reply = redis.error_reply(require('server.refusal')(last.err))
  end
end

-- A call with an error of the server has written nothing. A refusal may have no room to be remembered: then the call
-- is executed again.
local function remember(new_reply)
  if type(new_reply) ~= 'string' then return new_reply end
  local kept = new_reply
  if #kept > 4096 and string.sub(kept, 2, 4) ~= '\162ok' then kept = require('server.shortened')(kept) end
  if redis.pcall('HSET', calls, slot, sequence .. kept) == 1 then redis.pcall('EXPIRE', calls, 3600) end
  return new_reply
end

return {reply = reply, remember = remember}
