-- Fast path of the commonest commits: a new object with a counted key, of a model without unique constraints,
-- references, and indexes on text or over several fields; one update or sum of fields that have no part in any of
-- these. It writes the same as the general commit; if anything is out of the ordinary it leaves everything as it was,
-- and the general commit, which is in the same call, answers. Nothing else is made before it, since functions cost
-- more than an update.
-- In: ARGV[5] 'insert', 'update' or 'count', another text or nothing where the path is closed; ARGV[6] the model's key,
--     ARGV[4] its declaration, KEYS[1] ormis/models, ARGV[7] the name of the primary key; then
--   insert  ARGV[8] the number n of entries; n times 'equal' or the kind in a sorted index, and the number of the
--           argument that is their field; then field, text of every column
--   update  ARGV[8] the key; ARGV[9] the kind of the first column, where its sorted index is to be moved, or an empty
--           text; then ARGV[10] field, ARGV[11] text of the first changed column, and so on
--   count   ARGV[8] the key, ARGV[9] the field of an integer, ARGV[10] what to add, ARGV[11] 'sorted' with an index
-- Out: reply, as commit.lua describes it, which is remembered; nil if the general commit has to answer.

local KEY = require('server.keys')
local token = require('server.token')
local calls, slot, sequence, last = token.calls, token.slot, token.sequence, token.last

local command, commit, reply = redis.pcall, ARGV[5], nil
-- A number has 12 digits: the text of an earlier call is below it, that of the same call is longer.
if ARGV[8] and (last == false or type(last) == 'string' and last < sequence)
  and command('HGET', KEYS[1], ARGV[6]) == ARGV[4] then
  local base, pk = KEY.prefix .. ARGV[6], ARGV[8]
  local key, moved, field, kind = base .. KEY.object .. pk, nil, nil, nil
  if commit == 'update' then
    if command('HEXISTS', key, ARGV[7]) == 1 then
      local refused = false
      kind, field = ARGV[9], ARGV[10]
      if kind ~= '' then
        local score = ARGV[11]
        -- The text of a number is a score itself.
        if kind ~= 'int' and kind ~= 'float' then score = require('values.scores')(kind, score) end
        moved = base .. KEY.index .. field
        refused = type(command('ZADD', moved, score, pk)) == 'table'
      end
      if not refused and type(command('HSET', key, unpack(ARGV, 10))) ~= 'table' then reply = '\146\162ok\145\195' end
    end
  elseif commit == 'count' then
    kind, field = 'int', ARGV[9]
    local texts, refused = command('HMGET', key, ARGV[7], field), false
    local text = texts[1] and texts[2]
    -- All three numbers are exact as doubles, and nothing is written before that is known.
    if text and #text < 16 and #ARGV[10] < 16 and (text == '0' or string.find(text, '^%-?[1-9]%d*$')) then
      local sum = string.format('%.0f', text + ARGV[10])
      if ARGV[11] ~= '' then
        moved = base .. KEY.index .. field
        refused = type(command('ZADD', moved, sum, pk)) == 'table'
      end
      if not refused and type(command('HSET', key, field, sum)) ~= 'table' then
        reply = cmsgpack.pack({'ok', {{sum}}})
      end
    end
  elseif commit == 'insert' then
    local counter, first, step, number = base .. KEY.next_id, 0, 1, nil
    if KEYS[3] then  -- a cluster
      local counting = require('server.counting')
      first, step = counting.first + 0, counting.step
      number = command('INCRBY', counter, step)
      if number == step then number = command('INCRBY', counter, first) end
    else
      number = command('INCR', counter)
    end
    if type(number) == 'number' then
      local at, rest, failed = 9, 9 + 2 * pk, number < 1 or number >= 1e15
      pk = string.format('%.0f', number)
      key = base .. KEY.object .. pk
      -- The counter of existing objects was evicted.
      failed = failed or number == first + step and command('EXISTS', base .. KEY.ids) == 1
      if not failed and command('EXISTS', key) == 0 then
        while not failed and at < rest do
          local place, done = ARGV[at + 1] + 0, nil
          local index, text = base .. KEY.index .. ARGV[place], ARGV[place + 1]
          kind = ARGV[at]
          if kind == 'equal' then
            done = command('SADD', index .. '=' .. text, pk)
          else
            if kind ~= 'int' and kind ~= 'float' then text = require('values.scores')(kind, text) end
            done = command('ZADD', index, text, pk)
          end
          at, failed = at + 2, type(done) == 'table'
        end
        failed = failed or type(command('ZADD', base .. KEY.ids, pk, pk)) == 'table'
          or type(command('HSET', key, ARGV[7], pk, unpack(ARGV, rest))) == 'table'
        if failed then
          reply = require('write.fast_insert_many').undo({pk}, {})
        else
          reply = '\146\162ok\145\145' .. string.char(160 + #pk) .. pk
        end
      end
      -- Without the undo the key is not counted again: what is left would belong to another object.
      if not reply and command('DECRBY', counter, step) == first and command('EXISTS', base .. KEY.ids) == 0 then
        command('UNLINK', counter)
      end
    end
  end
  if moved and not reply then
    local text = command('HGET', key, field)
    if text then
      command('ZADD', moved, require('values.scores')(kind, text), pk)
    else
      command('ZREM', moved, pk)
    end
  end
  if type(reply) == 'string' and command('HSET', calls, slot, sequence .. reply) == 1 then
    command('EXPIRE', calls, 3600)
  end
end

return reply
