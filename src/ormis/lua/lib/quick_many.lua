--@include scores
--@include short
-- Many new objects by the short way of quick.lua: nothing stands between the texts of the batch and HSET, and what goes
-- to one key of an index goes there in one command.
-- In: command(); base, the beginning of the model's keys.
-- Out: insert_many(m, count, texts), which returns the keys, nil where it left everything as it was; m is the model as
-- in models.lua, texts are as in an insert of commit.lua.

local CHUNK = 4000  -- arguments in one command; Lua unpacks some 8,000

local function insert_many(m, count, texts)
  local columns, indexes, width = m.columns, m.indexes, #m.columns
  local pks, keys, places, failed = {}, {}, {}, false

  local function write(...)
    if type(command(...)) == 'table' then failed = true end
  end

  local function write_all(name, key, arguments, length)
    for first = 1, length, CHUNK do
      write(name, key, unpack(arguments, first, math.min(first + CHUNK - 1, length)))
    end
  end

  -- Counts the keys up; whether something else than ormis holds one of them.
  local function count_up(last)
    for i = 1, count do
      local pk = string.format('%.0f', last + i)
      pks[i], keys[i], places[2 * i - 1], places[2 * i] = pk, base .. ':' .. pk, pk, pk
    end
    for first = 1, count, CHUNK do
      if command('EXISTS', unpack(keys, first, math.min(first + CHUNK - 1, count))) ~= 0 then return true end
    end
  end

  -- The arguments are laid out once; an object without absent fields only fills them in.
  local function write_hashes()
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

  -- Who has which text in a column: its key where it is alone, else a list.
  local function members_by_text(position)
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

  local function write_sets(name, beginning, position)
    for text, members in pairs(members_by_text(position)) do
      if type(members) == 'table' then
        write_all(name, beginning .. short(text), members, #members)
      else
        write(name, beginning .. short(text), members)
      end
    end
  end

  local function write_scores(key, kind, position)
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

  local function write_indexes(adding)
    for slot = 1, #indexes, 5 do
      local key, position = base .. '/index/' .. indexes[slot + 2], indexes[slot + 3]
      if indexes[slot] == 'equal' then
        write_sets(adding and 'SADD' or 'SREM', key .. '=', position)
      elseif adding then
        write_scores(key, indexes[slot + 1], position)
      else
        write_all('ZREM', key, pks, count)
      end
    end
  end

  local last = command('GET', base .. '/next_id') or '0'
  if type(last) == 'table' or #last > 14 or count_up(tonumber(last)) then return nil end
  write_hashes()
  if failed then return nil end  -- the server takes no writes, and none was made: the general way says why
  write_indexes(true)
  write_all('ZADD', base .. '/ids', places, 2 * count)
  if not failed then
    command('SET', base .. '/next_id', pks[count])
    return pks
  end
  write_indexes(false)
  write_all('ZREM', base .. '/ids', pks, count)
  for i = 1, count do command('DEL', keys[i]) end
end
