-- The shortest way of a claim, of one object: the first entry of an index that has the order of the query, and in
-- which all entries meet the conditions, where of the indexes this entry alone depends on the changes, not its score.
-- If anything is out of the ordinary it leaves everything as it was, and fast_claim.lua answers.
-- In: KEYS[1] ormis/models; ARGV[4] the declaration of the model; ARGV[5] 'plain' if this way is open; of what
--   fast_claim.lua describes ARGV[6], ARGV[8], ARGV[9] and what follows.
-- Out: claim_one(), which returns the texts that are read of the object and its key, packed; nil if it can't answer.

local KEY = require('server.keys')

local command, EXACT = redis.pcall, 9007199254740992

local function claim_one()
  if ARGV[5] ~= 'plain' or ARGV[#ARGV] ~= '1' or command('HGET', KEYS[1], ARGV[6]) ~= ARGV[4] then return nil end
  local at = 10 + ARGV[8]
  local from, to = KEY.prefix .. ARGV[at], ARGV[at + 1]
  local entries = command('ZRANGE', from, 0, 1, 'WITHSCORES')
  local pk, score = entries[1], entries[2]
  local number = pk and score ~= entries[4] and tonumber(score)
  if not number or number >= EXACT or number <= -EXACT then return nil end
  local hash = KEY.prefix .. ARGV[6] .. KEY.object .. pk
  local row, moved = command('HMGET', hash, unpack(ARGV, 10, at - 1)), ARGV[at] ~= to
  if not row[1] then return nil end
  -- The new entry first: what a user without one of these rights leaves behind is one too many, never one too few.
  if to ~= '' then to = KEY.prefix .. to end
  local added = moved and to ~= ''
  if added and type(command('ZADD', to, score, pk)) == 'table' then return nil end
  local fine = not moved or type(command('ZREM', from, pk)) ~= 'table'
  if fine and type(command('HSET', hash, unpack(ARGV, at + 2, ARGV[9]))) == 'table' then
    fine = false
    if moved then command('ZADD', from, score, pk) end
  end
  if not fine then
    if added then command('ZREM', to, pk) end
    return nil
  end
  return row, cmsgpack.pack(pk)
end

return claim_one
