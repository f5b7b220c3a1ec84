-- Fast path of a claim: the first entries of an index whose order is that of the query, and which alone tells that an
-- object meets the conditions. It writes the same as the general change; if anything is out of the ordinary it leaves
-- everything as it was, and the general change, which is in the same call, answers.
-- In: KEYS[1] ormis/models; ARGV[4] the declaration of the model; ARGV[5] 'plain' or 'first' if this path is open:
--   plain where the order is ascending and without bounds, and of the indexes the entry in this one alone depends on
--   the changes, but not its score; then
--   ARGV[6]  the key of the model
--   ARGV[7]  packed, {descending, backwards, {low, high, conjunct, ...} or false, {kind, text} of the last field of
--            this index or false if it does not change, {sum, ...}, {index, ...}, {long column, ...}, how many bytes a
--            call may read, whether of the indexes this entry alone depends on the changes, {written column, ...},
--            {cleared column, ...}, {column, ...}}: low and high are numbers of the conjuncts, 0 for none, a text is
--            the number of an argument, from the end; sums as in updating.lua, without bounds; indexes as in
--            rewrite.lua; columns by their positions, the last ones by their names; long ones may have texts of any
--            length
--   ARGV[8]  how many columns claim_one.lua reads; ARGV[9] at which argument the texts that are written end
--   ARGV[10] the names of these columns; then this index, and the index that its entries go to, the same one if they
--            stay, an empty text if they leave; name, text of each written column; the name of each cleared one
--   the last is the limit.
-- Out: claim_first(), which returns the keys of the changed objects, their rows, the number of columns, and 'done', or
--      'step' if the texts of further ones are too long for this call; nil if the general change has to answer.

local KEY = require('server.keys')

local command, EXACT = redis.pcall, 9007199254740992

local base, from, to, texts_at, columns
local descending, backwards, bounds, moved, sums, indexes, long, left, alone, written, cleared

-- The first entries of the index, {key, score, ...}, one more than the limit if there are as many; nil if no score
-- stands for a bound alone.
local function entries_within(limit)
  local low, high = '-inf', '+inf'
  if bounds then
    local probe = {'sorted', 0, '', bounds[1], bounds[2]}
    for i = 3, #bounds do
      local text = bounds[i][5]
      if type(text) == 'number' then bounds[i][5] = ARGV[#ARGV + 1 + text] end
    end
    require('read.probes').locate(probe, '', {unpack(bounds, 3)})
    if not probe.exact then return nil end
    low, high = probe.low, probe.high
  end
  if descending then return command('ZREVRANGEBYSCORE', from, high, low, 'WITHSCORES', 'LIMIT', 0, limit + 1) end
  return command('ZRANGEBYSCORE', from, low, high, 'WITHSCORES', 'LIMIT', 0, limit + 1)
end

-- The row as it is to be; nil if a sum can't be done here.
local function row_after(row)
  local after = {unpack(row)}
  for i = 1, #written do after[written[i]] = ARGV[texts_at + 2 * i - 1] end
  for i = 1, #cleared do after[cleared[i]] = false end
  local own = sums[1] and require('write.row_sums')(row, sums)
  if sums[1] and not own then return nil end
  for i = 1, own and #own or 0, 2 do after[own[i]] = own[i + 1] end
  return after
end

-- Writes an object whose entry in the index is all that depends on the changes. Returns as rewrite.lua does.
local function write(pk, score)
  local wrote, hash = false, base .. KEY.object .. pk
  local function run(...)
    local fine = type(command(...)) ~= 'table'
    wrote = wrote or fine
    return fine
  end
  if to ~= '' and (to ~= from or moved) and not run('ZADD', to, score, pk) then return false, wrote end
  if to ~= from and not run('ZREM', from, pk) then return false, wrote end
  local last = ARGV[9] + 0
  if #written > 0 and not run('HSET', hash, unpack(ARGV, texts_at, last)) then return false, wrote end
  return #cleared == 0 or run('HDEL', hash, unpack(ARGV, last + 1, last + #cleared)), wrote
end

local function claim_first()
  local way = ARGV[5]
  if way ~= 'plain' and way ~= 'first' or command('HGET', KEYS[1], ARGV[6]) ~= ARGV[4] then return nil end
  local at, limit = 10 + ARGV[8], ARGV[#ARGV] + 0
  descending, backwards, bounds, moved, sums, indexes, long, left, alone, written, cleared, columns
    = unpack(cmsgpack.unpack(ARGV[7]))
  base, from, to, texts_at = KEY.prefix .. ARGV[6], KEY.prefix .. ARGV[at], ARGV[at + 1], at + 2
  if to ~= '' then to = KEY.prefix .. to end

  local entries = entries_within(limit)
  if not entries or entries.err then return nil end
  local pks, scores, last, tied = {}, {}, nil, false
  for i = 1, #entries, 2 do
    local pk, score, number = entries[i], entries[i + 1], tonumber(entries[i + 1])
    if number >= EXACT or number <= -EXACT then return nil end
    pks[#pks + 1], scores[pk], tied, last = pk, score, tied or score == last, score
  end
  if tied then
    pks = require('read.tied_keys')(entries, from, base, limit, backwards)
    last = entries[2 * #pks]
  end
  pks[limit + 1] = nil


  local before, after, wanted = {}, {}, #pks
  for i = 1, wanted do
    if left < 0 then break end
    local row = command('HMGET', base .. KEY.object .. pks[i], unpack(columns))
    before[i], after[i] = row, row[1] and row_after(row)
    if not after[i] then return nil end
    for j = 1, #long do left = left - #(row[long[j]] or '') - #(after[i][long[j]] or '') end
  end
  for i = wanted, #after + 1, -1 do pks[i] = nil end
  local score = moved and require('values.scores')(moved[1], ARGV[#ARGV + 1 + moved[2]])
  for i = 1, #pks do
    local fine, wrote
    if alone then
      fine, wrote = write(pks[i], score or scores[pks[i]] or last)
    else
      fine, wrote = require('write.rewrite')(pks[i], base, columns, indexes, before[i], after[i])
    end
    if not fine then
      -- Without memory the server refuses the first write of a script only: an undo of nothing would let others by.
      for j = (i > 1 or wrote) and i or 0, 1, -1 do
        require('write.rewrite')(pks[j], base, columns, indexes, after[j], before[j])
      end
      return nil
    end
  end
  return pks, after, #columns, #pks == wanted and 'done' or 'step'
end

return claim_first
