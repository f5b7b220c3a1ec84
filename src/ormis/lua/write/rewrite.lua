-- Brings the index entries and the hash of an object from one row to another, without checks: what is new first, so
-- that a user without one of the rights leaves something too many behind, nothing too few.
-- Out: rewrite(pk, base, columns, indexes, before, after): rows are {text|false, ...} by position; base is the
--      beginning of the model's keys; indexes are those in which the columns that differ have a part, {'equal' or
--      'sorted', kind, name, position, name of a field before the last, its position, ...}. It returns whether the
--      server has carried out all of it, and whether it has written anything.

local KEY = require('server.keys')
local key_part = require('server.key_part')
local score_of = require('values.scores')

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

local function rewrite(pk, base, columns, indexes, before, after)
  local fine, wrote = true, false
  local function write(...)
    if type(redis.pcall(...)) == 'table' then fine = false else wrote = true end
    return fine
  end
  for i = 1, #indexes do
    local index = indexes[i]
    local equal = index[1] == 'equal'
    local old_key, old_score = place(index, before, base .. KEY.index)
    local key, score = place(index, after, base .. KEY.index)
    if key and equal and key ~= old_key and not write('SADD', key, pk) then return false, wrote end
    if key and not equal and (key ~= old_key or score ~= old_score) and not write('ZADD', key, score, pk) then
      return false, wrote
    end
    if old_key and old_key ~= key and not write(equal and 'SREM' or 'ZREM', old_key, pk) then return false, wrote end
  end
  local set, count, gone, hash = {}, 0, {}, base .. KEY.object .. pk
  for i = 1, #columns do
    local text = after[i]
    if text and text ~= before[i] then
      set[count + 1], set[count + 2] = columns[i], text
      count = count + 2
    elseif not text and before[i] then
      gone[#gone + 1] = columns[i]
    end
  end
  if count > 0 and not write('HSET', hash, unpack(set)) then return false, wrote end
  return #gone == 0 or write('HDEL', hash, unpack(gone)), wrote
end

return rewrite
