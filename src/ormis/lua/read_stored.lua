-- The next objects of a model in the order of creation, with all that their hashes hold, for a copy of them.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the packed list {key of the model, place|false, count, bytes, relation|false}: the
--          objects behind that place, fewer if their texts have more bytes together; of a many-to-many relation the
--          keys of the linked objects in place of the hashes
-- Returns {'ok', place|false, {row, ...}}: the place of the last one, false at the end; those that share it are among
-- them. A row is {place, primary key, milliseconds left or '-1', field, text, ...}, or with linked keys behind the
-- third. Objects that have expired are left out.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local key_part = require('server.key_part')

local model, after, count, most, relation = unpack(cmsgpack.unpack(ARGV[2]))
local base, read = KEY.prefix .. model, 0

local function row_of(pk, place)
  local key = base .. KEY.object .. pk
  local left = call('PTTL', key)
  if left == -2 then return nil end
  local found
  if relation then
    found = call('SMEMBERS', base .. KEY.links .. relation .. '/' .. key_part(pk))
  else
    found = call('HGETALL', key)
  end
  if #found == 0 then return nil end
  local row = {place, pk, string.format('%.0f', left)}
  for i = 1, #found do
    row[i + 3] = found[i]
    read = read + #found[i]
  end
  return row
end

return answer(function()
  local ids, rows = base .. KEY.ids, {}
  local entries = call('ZRANGEBYSCORE', ids, after and '(' .. after or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, count)
  local last, taken = false, {}
  for i = 1, #entries, 2 do
    if last and last ~= entries[i + 1] and read > most then break end
    last = entries[i + 1]
    taken[entries[i]] = true
    rows[#rows + 1] = row_of(entries[i], last)
  end
  if not last or #entries < 2 * count and last == entries[#entries] then return {'ok', false, rows} end
  for _, pk in ipairs(call('ZRANGEBYSCORE', ids, last, last)) do
    if not taken[pk] then rows[#rows + 1] = row_of(pk, last) end
  end
  return {'ok', last, rows}
end)
