-- On a cluster: registers another partition at objects of this one that its objects are going to refer to. A call that
-- is repeated, or comes late, registers too much at worst; so it needs no token.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list: number of the partition, whether to register at objects that are not
--          there as well, then model key, primary key, ... of the objects
-- Returns {'ok', {left|false, ...}}: how many milliseconds each object lives, -1 for ever; false: it is not there.
-- Touched: see elsewhere.lua.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local register = require('write.elsewhere').register

return answer(function()
  local asked, found = cmsgpack.unpack(ARGV[2]), {}
  for i = 3, #asked, 2 do
    local left = call('PTTL', KEY.prefix .. asked[i] .. KEY.object .. asked[i + 1])
    if left ~= -2 or asked[2] then register(asked[i], asked[i + 1], asked[1]) end
    found[#found + 1] = left ~= -2 and left
  end
  return {'ok', found}
end)
