-- Inserts many objects of a model with counted keys that fast_commit.lua serves, by few commands; and undoes that. All
-- of them have keys, in order and above all places, or none has one.
-- In: ARGV[3], the shape of the model, ARGV[6] its key; ARGV[4] its declaration, KEYS[1] ormis/models.
-- Out: insert(), the reply; nil if the general commit has to answer; undo(pks, keys), nil or an error if the server
--      refuses to undo something.

local KEY = require('server.keys')
local batch = require('write.batch')
local key_part = require('server.key_part')
local score = require('values.scores')

local command, CHUNK = redis.pcall, 4000  -- arguments in one command; Lua unpacks some 8,000
local base = KEY.prefix .. ARGV[6]
local m, mutation = cmsgpack.unpack(ARGV[3]), batch()[1]
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
local function write_objects()
  local counting = require('server.counting')
  local last = command('GET', base .. KEY.next_id) or counting.first
  if type(last) == 'table' or #last > 14 or not string.find(last, '^%d+$') then return nil end
  if last == counting.first and command('EXISTS', base .. KEY.ids) == 1 then return nil end  -- it was evicted
  local pks, keys, places = {}, {}, {}
  local given = texts[1] and true
  local before = given and (command('ZRANGE', base .. KEY.ids, -1, -1, 'WITHSCORES')[2] or '0') + 0
  for i = 1, count do
    local pk = given and texts[(i - 1) * width + 1] or string.format('%.0f', last + i * counting.step)
    if given then
      if #pk > 14 or not string.find(pk, '^[1-9]%d*$') or pk + 0 <= before then return nil end
      before = pk + 0
    end
    pks[i], keys[i], places[2 * i - 1], places[2 * i] = pk, base .. KEY.object .. pk, pk, pk
  end
  for first = 1, count, CHUNK do
    -- Something else than ormis may hold one of the keys.
    if command('EXISTS', unpack(keys, first, math.min(first + CHUNK - 1, count))) ~= 0 then return nil end
  end
  write_hashes(pks, keys)
  if not failed then write_indexes(pks, true) end
  if not failed then write_all('ZADD', base .. KEY.ids, places, 2 * count) end
  local counted = last + 0 > pks[count] + 0 and last or pks[count]
  failed = failed or command('SET', base .. KEY.next_id, counted).err
  -- Without memory the server refuses the first write of a script only: an undo of nothing would let the others by.
  if failed then return nil, written and undo(pks, keys) or nil end
  return pks
end

local function insert()
  if command('HGET', KEYS[1], ARGV[6]) ~= ARGV[4] then return nil end
  local pks, unrestored = write_objects()
  return pks and cmsgpack.pack({'ok', {pks}}) or unrestored
end

return {insert = insert, undo = undo}
