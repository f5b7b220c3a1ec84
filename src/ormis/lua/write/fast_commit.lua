-- Fast path of the commonest commits: new objects with counted keys of a model without unique constraints, references,
-- and indexes on text or over several fields; one update or sum of fields that have no part in any of these. It writes
-- the same as the general commit; if anything is out of the ordinary it leaves everything as it was, and the general
-- commit, which is in the same call, answers. Nothing else is made before it, since functions cost more
-- than an update.
-- In: ARGV[5] 'insert', 'insert_many', 'update' or 'count', nothing where the path is closed; ARGV[6] the model's key,
--     ARGV[4] its declaration, KEYS[1] ormis/models, ARGV[7] the name of the primary key; then
--   insert  ARGV[8] the number n of entries; n times type, kind, field, text; then field, text of every column
--   insert_many  nothing more: the texts are in the batch, ARGV[2], the columns and indexes in the shape, ARGV[3]
--   update  ARGV[8] the key; ARGV[9] the kind of the first column, where its sorted index is to be moved, or an empty
--           text; then ARGV[10] field, ARGV[11] text of the first changed column, and so on
--   count   ARGV[8] the key, ARGV[9] the field of an integer, ARGV[10] what to add, ARGV[11] 'sorted' with an index
-- Out: reply, as commit.lua describes it; nil if the general commit has to answer.

local KEY = require('server.keys')

local command, CHUNK = redis.pcall, 4000  -- arguments in one command; Lua unpacks some 8,000
local commit, reply = ARGV[5], nil
local moved, old_score  -- the sorted index in which an entry has been moved, and where it was

if commit and command('HGET', KEYS[1], ARGV[6]) ~= ARGV[4] then commit = nil end

local base = commit and KEY.prefix .. ARGV[6]
if commit == 'update' then
  local key, refused = base .. KEY.object .. ARGV[8], nil
  local texts = command('HMGET', key, ARGV[7], ARGV[10])
  if texts[1] then
    if ARGV[9] ~= '' then
      local score = require('values.scores')
      moved, old_score = base .. KEY.index .. ARGV[10], texts[2] and score(ARGV[9], texts[2])
      refused = type(command('ZADD', moved, score(ARGV[9], ARGV[11]), ARGV[8])) == 'table'
    end
    if not refused and type(command('HSET', key, unpack(ARGV, 10))) ~= 'table' then reply = '\146\162ok\145\195' end
  end
elseif commit == 'count' then
  local key, refused = base .. KEY.object .. ARGV[8], nil
  local texts = command('HMGET', key, ARGV[7], ARGV[9])
  local text = texts[1] and texts[2]
  -- All three numbers are exact as doubles, and nothing is written before that is known.
  if text and #text < 16 and #ARGV[10] < 16 and (text == '0' or string.find(text, '^%-?[1-9]%d*$')) then
    local sum = string.format('%.0f', text + ARGV[10])
    if ARGV[11] ~= '' then
      moved, old_score = base .. KEY.index .. ARGV[9], text
      refused = type(command('ZADD', moved, sum, ARGV[8])) == 'table'
    end
    if not refused and type(command('HSET', key, ARGV[9], sum)) ~= 'table' then
      reply = cmsgpack.pack({'ok', {{sum}}})
    end
  end
elseif commit then
  -- The objects of a batch that inserts: functions to write all of them, and to undo what has been written of them. The
  -- second serves a single one, too: that is written below, with fewer functions.
  local function batch_of()
    local key_part, score = require('server.key_part'), require('values.scores')
    local m, mutation = cmsgpack.unpack(ARGV[3]), cmsgpack.unpack(ARGV[2])[1]
    local columns, indexes, width, count, texts = m.columns, m.indexes, #m.columns, mutation[3], mutation[4]
    local failed, written = false, false

    local function write(...)
      local done = command(...)
      if type(done) == 'table' then failed = failed or done.err else written = true end
    end

    local function write_all(name, key, arguments, length)
      for first = 1, length, CHUNK do
        write(name, key, unpack(arguments, first, math.min(first + CHUNK - 1, length)))
      end
    end

    -- Who has which text in a column: its key if it is alone, else a list.
    local function members_by_text(pks, position)
      local members = {}
      for i = 1, count do
        local text = texts[(i - 1) * width + position]
        local others = text and members[text]
        if type(others) == 'table' then
          others[#others + 1] = pks[i]
        elseif text then
          members[text] = others and {others, pks[i]} or pks[i]
        end
      end
      return members
    end

    local function write_sets(name, beginning, pks, position)
      for text, members in pairs(members_by_text(pks, position)) do
        if type(members) == 'table' then
          write_all(name, beginning .. key_part(text), members, #members)
        else
          write(name, beginning .. key_part(text), members)
        end
      end
    end

    local function write_scores(key, kind, pks, position)
      local scores, length = {}, 0
      for i = 1, count do
        local text = texts[(i - 1) * width + position]
        if text then
          scores[length + 1], scores[length + 2] = score(kind, text), pks[i]
          length = length + 2
        end
      end
      write_all('ZADD', key, scores, length)
    end

    local function write_indexes(pks, adding)
      for slot = 1, #indexes, 5 do
        local key, position = base .. KEY.index .. indexes[slot + 2], indexes[slot + 3]
        if indexes[slot] == 'equal' then
          write_sets(adding and 'SADD' or 'SREM', key .. '=', pks, position)
        elseif adding then
          write_scores(key, indexes[slot + 1], pks, position)
        else
          write_all('ZREM', key, pks, count)
        end
      end
    end

    -- The arguments are laid out once; an object without absent fields only fills them in.
    local function write_hashes(pks, keys)
      local full, length = {}, 2 * width
      for position = 1, width do full[2 * position - 1] = columns[position] end
      for i = 1, count do
        local at, set, last = (i - 1) * width, full, length
        full[2] = pks[i]
        for position = 2, width do
          local text = texts[at + position]
          if text and set == full then
            full[2 * position] = text
          elseif text then
            set[last + 1], set[last + 2] = columns[position], text
            last = last + 2
          elseif set == full then
            last = 2 * position - 2
            set = {unpack(full, 1, last)}
          end
        end
        write('HSET', keys[i], unpack(set, 1, last))
      end
    end

    -- Returns nil, or an error if the server refuses to undo something.
    local function undo(pks, keys)
      failed = false
      for first = 1, #keys, CHUNK do
        local last = math.min(first + CHUNK - 1, count)
        local done = command('UNLINK', unpack(keys, first, last))
        if type(done) == 'table' then write('DEL', unpack(keys, first, last)) end
      end
      write_indexes(pks, false)
      write_all('ZREM', base .. KEY.ids, pks, count)
      -- A key of a wrong type is not written to.
      if failed and not string.find(failed, 'WRONGTYPE', 1, true) then
        return redis.error_reply(require('server.refusal')(failed) .. '; that was the undo of an insertion which '
          .. 'the server had refused in part: ormis.check(repair=True) removes the rest of it')
      end
    end

    -- Returns the keys, or nothing if nothing has been written or all of it undone, with an error if it was not.
    local function insert()
      local counting = require('server.counting')
      local last = command('GET', base .. KEY.next_id) or counting.first
      if type(last) == 'table' or #last > 14 or not string.find(last, '^%d+$') then return nil end
      if last == counting.first and command('EXISTS', base .. KEY.ids) == 1 then return nil end  -- it was evicted
      local pks, keys, places = {}, {}, {}
      for i = 1, count do
        local pk = string.format('%.0f', last + i * counting.step)
        pks[i], keys[i], places[2 * i - 1], places[2 * i] = pk, base .. KEY.object .. pk, pk, pk
      end
      for first = 1, count, CHUNK do
        -- Something else than ormis may hold one of the keys.
        if command('EXISTS', unpack(keys, first, math.min(first + CHUNK - 1, count))) ~= 0 then return nil end
      end
      write_hashes(pks, keys)
      if not failed then write_indexes(pks, true) end
      if not failed then write_all('ZADD', base .. KEY.ids, places, 2 * count) end
      failed = failed or command('SET', base .. KEY.next_id, pks[count]).err
      -- Without memory the server refuses the first write of a script only: an undo of nothing would let the others by.
      if failed then return nil, written and undo(pks, keys) or nil end
      return pks
    end

    return insert, undo
  end

  local counting = require('server.counting')
  local step, number = counting.step, nil
  if commit == 'insert' then
    number = KEYS[3] and command('INCRBY', base .. KEY.next_id, step) or command('INCR', base .. KEY.next_id)
    if KEYS[3] and number == step then number = command('INCRBY', base .. KEY.next_id, counting.first) end
  end
  if commit == 'insert_many' then
    local insert = batch_of()
    local pks, unrestored = insert()
    reply = pks and cmsgpack.pack({'ok', {pks}}) or unrestored
  elseif type(number) == 'number' then
    local pk, at, rest, failed = string.format('%.0f', number), 9, 9 + 4 * ARGV[8], number < 1 or number >= 1e15
    -- The counter of existing objects was evicted.
    failed = failed or number == step + counting.first and command('EXISTS', base .. KEY.ids) == 1
    if not failed and command('EXISTS', base .. KEY.object .. pk) == 0 then
      while not failed and at < rest do
        local name, text, done = base .. KEY.index .. ARGV[at + 2], ARGV[at + 3], nil
        if ARGV[at] == 'sorted' then
          done = command('ZADD', name, require('values.scores')(ARGV[at + 1], text), pk)
        else
          done = command('SADD', name .. '=' .. text, pk)
        end
        at, failed = at + 4, type(done) == 'table'
      end
      failed = failed or type(command('ZADD', base .. KEY.ids, pk, pk)) == 'table'
        or type(command('HSET', base .. KEY.object .. pk, ARGV[7], pk, unpack(ARGV, rest))) == 'table'
      if failed then
        local _, undo = batch_of()
        reply = undo({pk}, {})
      else
        reply = '\146\162ok\145\145' .. string.char(160 + #pk) .. pk
      end
    end
    -- Without the undo the key is not counted again: what is left would belong to another object.
    local left = not reply and command('DECRBY', base .. KEY.next_id, step)
    if left == tonumber(counting.first) and command('EXISTS', base .. KEY.ids) == 0 then
      command('UNLINK', base .. KEY.next_id)
    end
  end
end

if moved and not reply then
  if old_score then command('ZADD', moved, old_score, ARGV[8]) else command('ZREM', moved, ARGV[8]) end
end

return reply
