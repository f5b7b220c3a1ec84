-- Removes keys of another program that are still as they were read.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix, which these keys lack; ARGV[2] the packed list {fields, key, fingerprint, key, ...}: as
--          read_keys.lua has read them with so many fields at most
-- Returns {'ok', {key, ...}}: those that are other than they were. A call that is repeated finds the same.

local server = require('server.server')
local call, answer = server.call, server.answer
local existing = require('upkeep.existing')

return answer(function()
  local list, changed = cmsgpack.unpack(ARGV[2]), {}
  for i = 2, #list, 2 do
    local key = list[i]
    local kind, texts = existing.texts_of(key, list[1])
    if existing.fingerprint(kind, texts) == list[i + 1] then
      call('UNLINK', key)
    elseif kind ~= 'none' then
      changed[#changed + 1] = key
    end
  end
  return {'ok', changed}
end)
