-- Reads keys that another program has written.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix, which these keys lack; ARGV[2] the packed list {keys, bytes, fields, members, marked}: as
--          many of the keys as have so many bytes together, one at least; of a hash with more fields their number;
--          with `members` those of sets, lists and sorted sets; with `marked` the fingerprints of all
-- Returns {'ok', the packed list {row, ...}}; a row is {milliseconds left or -1, fingerprint, type, {text, ...}}, as
-- upkeep/existing.lua reads it.

local server = require('server.server')
local call, answer = server.call, server.answer
local existing = require('upkeep.existing')

local keys, bytes, most, members, marked = unpack(cmsgpack.unpack(ARGV[2]))

return answer(function()
  local rows, read = {}, 0
  for i = 1, #keys do
    if read > bytes then break end
    local kind, texts = existing.texts_of(keys[i], most, members)
    local mark = marked and existing.fingerprint(kind, texts) or ''
    rows[i] = '\148' .. cmsgpack.pack(call('PTTL', keys[i]), mark, kind, texts)
    read = read + #rows[i]
  end
  return {'ok', '\221' .. struct.pack('>I4', #rows) .. table.concat(rows)}
end)
