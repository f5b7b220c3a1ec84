--@include once
-- The commonest commits by a short way: new objects with counted keys of a model without unique constraints,
-- references, and indexes on text or over several fields; one update or sum of fields that have no part in any of
-- these. It writes what the general way writes; where anything is out of the ordinary it leaves everything as it was,
-- and the general way below, which is in the same call, answers.
-- It stands before all functions: making them costs more than what an update does.
-- In: ARGV[5] 'insert', 'insert_many', 'update' or 'count', ARGV[6] the model's key, ARGV[7] the name of its primary
-- key; then
--   insert  ARGV[8] the number n of entries; n times type, kind, field, text; then field, text of every column
--   insert_many  nothing more: the texts are in the batch, ARGV[2], the columns and indexes in the shape, ARGV[3]
--   update  ARGV[8] the key; ARGV[9] the kind of the first column, where its sorted index is to be moved, or an empty
--           text; then field, text of every changed column
--   count   ARGV[8] the key, ARGV[9] the field of an integer, ARGV[10] what to add, ARGV[11] 'sorted' with an index
-- Returns as commit.lua does.

local quick = ARGV[5]
if quick and redis.pcall('HGET', KEYS[1], ARGV[6]) == ARGV[4] then
  local command, base = redis.pcall, ARGV[1] .. ARGV[6]
  if quick == 'update' then
    local pk, kind, key = ARGV[8], ARGV[9], base .. ':' .. ARGV[8]
    if command('HEXISTS', key, ARGV[7]) == 1 then
      local moved
      if kind ~= '' then
        --@include scores
        moved = command('ZADD', base .. '/index/' .. ARGV[10], score(kind, ARGV[11]), pk)
      end
      if type(moved) ~= 'table' and type(command('HSET', key, unpack(ARGV, 10))) ~= 'table' then
        return remember('\146\162ok\145\195')
      end
    end
  elseif quick == 'count' then
    local pk, field, key = ARGV[8], ARGV[9], base .. ':' .. ARGV[8]
    local sum = type(command('HGET', key, field)) == 'string' and command('HINCRBY', key, field, ARGV[10])
    if type(sum) == 'number' then
      local exact_sum = sum < 2 ^ 53 and sum > -2 ^ 53
      if exact_sum and (ARGV[11] == '' or type(command('ZADD', base .. '/index/' .. field, sum, pk)) ~= 'table') then
        return remember(cmsgpack.pack({'ok', {{string.format('%.0f', sum)}}}))
      end
      command('HINCRBY', key, field, string.sub(ARGV[10], 1, 1) == '-' and string.sub(ARGV[10], 2) or '-' .. ARGV[10])
    end
  elseif quick == 'insert' then
    --@include scores
    local number, count = command('INCR', base .. '/next_id'), tonumber(ARGV[8])
    local counted = type(number) == 'number'
    local pk = counted and number < 1e15 and string.format('%.0f', number)
    local rest, written = 9 + 4 * count, 0
    if pk and command('EXISTS', base .. ':' .. pk) == 0 then
      for i = 9, rest - 4, 4 do
        local name, text, done = base .. '/index/' .. ARGV[i + 2], ARGV[i + 3], nil
        if ARGV[i] == 'sorted' then
          done = command('ZADD', name, score(ARGV[i + 1], text), pk)
        else
          done = command('SADD', name .. '=' .. text, pk)
        end
        if type(done) == 'table' then break end
        written = written + 1
      end
      if written == count and type(command('ZADD', base .. '/ids', pk, pk)) ~= 'table' then
        command('HSET', base .. ':' .. pk, ARGV[7], pk, unpack(ARGV, rest))
        return remember('\146\162ok\145\145' .. string.char(160 + #pk) .. pk)
      end
      for i = 9, 5 + 4 * written, 4 do
        local name = base .. '/index/' .. ARGV[i + 2]
        if ARGV[i] == 'sorted' then
          command('ZREM', name, pk)
        else
          command('SREM', name .. '=' .. ARGV[i + 3], pk)
        end
      end
    end
    if counted then command('DECR', base .. '/next_id') end
  else
    --@include quick_many
    local batch = cmsgpack.unpack(ARGV[2])
    local pks = insert_many(cmsgpack.unpack(ARGV[3]), batch[1][3], batch[1][4])
    if pks then return remember(cmsgpack.pack({'ok', {pks}})) end
  end
end
