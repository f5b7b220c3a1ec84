-- The members of the sets of links of many objects.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the beginning of the keys, 'choice/links/tags/'; ARGV[3] the packed list of the
--          keys of the objects; ARGV[4], on a cluster, the key of their model: an object that is not there has none
-- Returns {'ok', {{key, ...}, ...}}, a list of members for each.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local key_part = require('server.key_part')

return answer(function()
  local base, found = KEY.prefix .. ARGV[2], {}
  local object = ARGV[4] and KEY.prefix .. ARGV[4] .. KEY.object
  for i, pk in ipairs(cmsgpack.unpack(ARGV[3])) do
    local is_gone = object and call('EXISTS', object .. pk) == 0
    found[i] = is_gone and {} or call('SMEMBERS', base .. key_part(pk))
  end
  return {'ok', found}
end)
