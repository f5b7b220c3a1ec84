--@include once
--@include scores
-- The commonest commits by a short way: new objects with counted keys of a model without unique constraints,
-- references, and indexes on text or over several fields; one update or sum of fields that have no part in any of
-- these. It writes what the general way writes; where anything is out of the ordinary it leaves everything as it was,
-- and the general way below, which is in the same call, answers.
-- It stands before all functions: making them costs more than what an update does. For many new objects it goes once
-- over the rows with nothing between them and the commands, which makes it half as long as the general way.
-- In: ARGV[5] 'insert', 'insert_many', 'update' or 'count', ARGV[6] the model's key, ARGV[7] the name of its primary
-- key; then
--   insert  ARGV[8] the number n of entries; n times type, kind, field, text; then field, text of every column
--   insert_many  nothing more: the rows are in the batch, ARGV[2], the columns and indexes in the shape, ARGV[3]
--   update  ARGV[8] the key; ARGV[9] kind, ARGV[10] field, ARGV[11] text of the sorted index to move, or three empty
--           texts; then field, text of every changed column
--   count   ARGV[8] the key, ARGV[9] the field of an integer, ARGV[10] what to add, ARGV[11] 'sorted' with an index
-- Returns as commit.lua does.

local quick = ARGV[5]
if quick and redis.pcall('HGET', KEYS[1], ARGV[6]) == ARGV[4] then
  local command, base = redis.pcall, ARGV[1] .. ARGV[6]
  if quick == 'update' then
    local pk, kind, key = ARGV[8], ARGV[9], base .. ':' .. ARGV[8]
    if command('HEXISTS', key, ARGV[7]) == 1 then
      local moved = kind == '' or command('ZADD', base .. '/index/' .. ARGV[10], score(kind, ARGV[11]), pk)
      if type(moved) ~= 'table' then
        command('HSET', key, unpack(ARGV, 12))
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
    local m, rows = cmsgpack.unpack(ARGV[3]), cmsgpack.unpack(ARGV[2])[1][3]
    local names, indexes, count = m.columns, m.indexes, #rows
    local last = command('GET', base .. '/next_id') or '0'
    local number = type(last) == 'string' and #last < 15 and tonumber(last)
    local pks, keys, ids, taken = {}, {}, {}, not number
    for i = 1, number and count or 0 do
      local pk = string.format('%.0f', number + i)
      pks[i], keys[i], ids[2 * i - 1], ids[2 * i] = pk, base .. ':' .. pk, pk, pk
    end
    for first = 1, #keys, 4000 do
      taken = taken or command('EXISTS', unpack(keys, first, math.min(first + 3999, count))) > 0
    end
    if not taken then
      -- What goes to one key: {command, key, command that undoes it, arguments, members}, by index and by text.
      local groups, by_index = {{'ZADD', base .. '/ids', 'ZREM', ids, pks}}, {}
      local set, done = {names[1]}, nil
      for i = 1, count do
        local row, pk, length = rows[i], pks[i], 2
        set[2] = pk
        for position = 2, #names do
          local text = row[position]
          if text then
            set[length + 1], set[length + 2] = names[position], text
            length = length + 2
          end
        end
        done = command('HSET', keys[i], unpack(set, 1, length))
        if type(done) == 'table' then break end
        for slot = 1, #indexes, 5 do
          local text = row[indexes[slot + 3]]
          if text and indexes[slot] == 'equal' then
            local by_text = by_index[slot] or {}
            by_index[slot] = by_text
            local group = by_text[text]
            if not group then
              local shown = text
              if #text > 200 or string.find(text, '/', 1, true) or string.byte(text) == 35 then
                shown = '#' .. redis.sha1hex(text)
              end
              local members = {}
              group = {'SADD', base .. '/index/' .. indexes[slot + 2] .. '=' .. shown, 'SREM', members, members}
              by_text[text], groups[#groups + 1] = group, group
            end
            local members = group[4]
            members[#members + 1] = pk
          elseif text then
            local group = by_index[slot]
            if not group then
              group = {'ZADD', base .. '/index/' .. indexes[slot + 2], 'ZREM', {}, {}}
              by_index[slot], groups[#groups + 1] = group, group
            end
            local arguments, members = group[4], group[5]
            local at = #members + 1
            members[at], arguments[2 * at - 1], arguments[2 * at] = pk, score(indexes[slot + 1], text), pk
          end
        end
      end
      for g = 1, #groups do
        local command_name, key, arguments = groups[g][1], groups[g][2], groups[g][4]
        for first = 1, #arguments, 4000 do
          if type(done) == 'table' then break end
          done = command(command_name, key, unpack(arguments, first, math.min(first + 3999, #arguments)))
        end
      end
      if type(done) ~= 'table' then
        command('SET', base .. '/next_id', pks[count])
        return remember(cmsgpack.pack({'ok', {pks}}))
      end
      for g = 1, #groups do
        local members = groups[g][5]
        for first = 1, #members, 4000 do
          command(groups[g][3], groups[g][2], unpack(members, first, math.min(first + 3999, #members)))
        end
      end
      for i = 1, count do command('DEL', keys[i]) end
    end
  end
end
