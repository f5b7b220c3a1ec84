-- The members of the sets of links of many objects.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the beginning of the keys, 'choice/links/tags/'; ARGV[3] the packed list of the
--          keys of the objects
-- Returns {'ok', {{key, ...}, ...}}, a list of members for each.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local key_part = require('server.key_part')

return answer(function()
  local base, found = KEY.prefix .. ARGV[2], {}
  for i, pk in ipairs(cmsgpack.unpack(ARGV[3])) do found[i] = call('SMEMBERS', base .. key_part(pk)) end
  return {'ok', found}
end)
