-- Fast path of a claim: the first entries of an index whose order is that of the query, and which alone tells that an
-- object meets the conditions. It writes the same as the general change; if anything is out of the ordinary it leaves
-- everything as it was, and the general change, which is in the same call, answers.
-- In: KEYS[1] ormis/models; ARGV[4] the declaration of the model; the plan, see plan.lua, whose want is 'claim' if this
--   path is open, and whose rows are then {number of the probe that has the order, descending, backwards, limit,
--   {column, ...}, {position, text|false, ...}, {sum, ...}, {index, ...}, how many bytes a call may read, {position of
--   a column whose texts may have any length, ...}}: sums as in updating.lua, without bounds, the indexes as {'equal'
--   or 'sorted', kind, name, position, name of a field before the last, its position, ...}, those that the changes
--   concern.
-- Out: claim_first(), which returns the keys of the changed objects, their rows, the number of columns, and 'done', or
--      'step' if the texts of further ones are too long for this call; nil if the general change has to answer.

local KEY = require('server.keys')
local key_part = require('server.key_part')
local first = require('read.plan')
local locate = require('read.probes').locate
local score_of = require('values.scores')
local plan, bound = first.plan, first.bound

local command, EXACT = redis.pcall, 9007199254740992

-- The keys of the first entries, {key, score, ...}, of which there may be one more than the limit; nil if a score does
-- not stand for one value.
local function keys_of(entries, probe, base, limit)
  local keys, last, tied = {}, nil, false
  for i = 1, #entries, 2 do
    local own = tonumber(entries[i + 1])
    if own >= EXACT or own <= -EXACT then return nil end
    keys[(i + 1) / 2], tied, last = entries[i], tied or own == last, own
  end
  if tied then return require('read.tied_keys')(entries, probe, base, limit, plan[3][3]) end
  keys[limit + 1] = nil
  return keys
end

-- Where an object with this row stands in an index: the key, and the score in a sorted one; nil for nowhere.
local function place(index, row, key)
  for i = 5, #index, 2 do
    local value = row[index[i + 1]]
    if not value then return nil end
    key = key .. index[i] .. '=' .. key_part(value) .. '/'
  end
  local text = row[index[4]]
  if not text then return nil end
  if index[1] == 'equal' then return key .. index[3] .. '=' .. key_part(text) end
  local score = score_of(index[2], text)
  return score and key .. index[3], score
end

-- Brings the entries and the hash of an object from one row to another. Returns whether the server has carried out all
-- of it, and whether it has written anything.
local function rewrite(pk, base, columns, indexes, from, to)
  local fine, wrote = true, false
  local function write(...)
    if type(command(...)) == 'table' then fine = false else wrote = true end
    return fine
  end
  for i = 1, #indexes do
    local index = indexes[i]
    local equal = index[1] == 'equal'
    local old_key, old_score = place(index, from, base .. KEY.index)
    local key, score = place(index, to, base .. KEY.index)
    if old_key and old_key ~= key and not write(equal and 'SREM' or 'ZREM', old_key, pk) then return false, wrote end
    if key and equal and key ~= old_key and not write('SADD', key, pk) then return false, wrote end
    if key and not equal and (key ~= old_key or score ~= old_score) and not write('ZADD', key, score, pk) then
      return false, wrote
    end
  end
  local set, count, hash = {}, 0, base .. KEY.object .. pk
  for i = 1, #columns do
    local text = to[i]
    if text and text ~= from[i] then
      set[count + 1], set[count + 2] = columns[i], text
      count = count + 2
    elseif not text and from[i] and not write('HDEL', hash, columns[i]) then
      return false, wrote
    end
  end
  return count == 0 or write('HSET', hash, unpack(set)), wrote
end

local function claim_first()
  if plan[2] ~= 'claim' or command('HGET', KEYS[1], plan[1]) ~= ARGV[4] then return nil end
  local number, descending, _, limit, columns, changes, sums, indexes, left, long = unpack(plan[3])
  local probe, base = plan[4 + number], KEY.prefix .. plan[1]
  locate(probe, base, plan[4])
  limit = tonumber(bound(limit))
  local name, low, high = 'ZRANGEBYSCORE', probe.low, probe.high
  if descending then name, low, high = 'ZREVRANGEBYSCORE', high, low end
  local entries = command(name, probe.key, low, high, 'WITHSCORES', 'LIMIT', 0, limit + 1)
  local pks = probe.exact and not entries.err and keys_of(entries, probe, base, limit)
  if not pks then return nil end

  for i = 2, #changes, 2 do changes[i] = bound(changes[i]) end
  local before, after, count = {}, {}, #pks
  for i = 1, count do
    if left < 0 then break end
    local row, own = command('HMGET', base .. KEY.object .. pks[i], unpack(columns)), changes
    if not row[1] then return nil end
    if sums[1] then own = require('write.row_sums')(row, changes, sums) end
    if not own then return nil end
    before[i], after[i] = row, {unpack(row)}
    for j = 1, #own, 2 do after[i][own[j]] = own[j + 1] end
    for j = 1, #long do left = left - #(row[long[j]] or '') - #(after[i][long[j]] or '') end
  end
  for i = count, #after + 1, -1 do pks[i] = nil end
  for i = 1, #pks do
    local fine, wrote = rewrite(pks[i], base, columns, indexes, before[i], after[i])
    if not fine then
      -- Without memory the server refuses the first write of a script only: an undo of nothing would let the others by.
      for j = (i > 1 or wrote) and i or 0, 1, -1 do rewrite(pks[j], base, columns, indexes, after[j], before[j]) end
      return nil
    end
  end
  return pks, after, #columns, #pks == count and 'done' or 'step'
end

return claim_first
