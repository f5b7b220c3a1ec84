-- Recognises a call that comes again: it is answered as the first time and nothing is done. For scripts that write.
-- Where the connection breaks, redis-py sends the call once more; the one before may have been carried out, or lie in
-- a buffer of the server and be carried out after its repetition. So every call is looked at, not only repetitions.
-- Touched: ormis/once/CALLER, a hash: slot -> the number of its last call, 12 digits, and the reply. It ends an hour
-- after its last new slot; a caller takes another name long before that.
-- In: ARGV[1] the partition tag; at the end of ARGV, taken away here, the mark of the call: 12 characters name the
--     caller, 12 digits are the number of this call in its slot, the rest is the slot.
-- Out: remember(reply), to be called with the reply when all is written; it returns the reply.

local at = #ARGV
local mark = ARGV[at]
ARGV[at] = nil
local caller, sequence, slot = ARGV[1] .. 'ormis/once/' .. string.sub(mark, 1, 12), string.sub(mark, 13, 24),
  string.sub(mark, 25)
local last = redis.pcall('HGET', caller, slot)
if last then
  if type(last) ~= 'string' then
    if not string.find(last.err, 'WRONGTYPE', 1, true) then return last end
    return cmsgpack.pack({'wrongtype', caller, redis.pcall('TYPE', caller).ok})
  end
  local number = string.sub(last, 1, 12)
  if number == sequence then return string.sub(last, 13) end
  if number > sequence then
    return redis.error_reply('ERR ormis: this call was given up by its caller, who has made others since')
  end
end

-- What failed with an error of the server has written nothing. A refusal may have no room to be remembered: then it
-- is found out again.
local function remember(reply)
  if type(reply) == 'string' and redis.pcall('HSET', caller, slot, sequence .. reply) == 1 then
    redis.pcall('EXPIRE', caller, 3600)
  end
  return reply
end
