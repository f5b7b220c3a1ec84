-- Changes of the keys of the next objects, beside their hashes:
--   {'forget'}                   the objects go, with nothing else: their model goes
--   {'links', name, name|false}   the sets of links of these objects of the first name become those of the
--                                second one, or go
-- Out: step(m, request, after), as field_changes.lua.

local KEY = require('server.keys')
local call = require('server.call')
local key_part = require('server.key_part')
local pks_behind = require('upkeep.next_keys').pks_behind

local function move_links(base, pk, old, new)
  local from = base .. KEY.links .. old .. '/' .. key_part(pk)
  if call('EXISTS', from) == 0 then return end
  if new then
    local to = base .. KEY.links .. new .. '/' .. key_part(pk)
    call('SUNIONSTORE', to, to, from)
  end
  call('UNLINK', from)
end

local function step(m, request, after)
  local change = request.change
  if change[1] == 'links' then
    local pks, place = pks_behind(m, after, request.count)
    for i = 1, #pks do move_links(m.base, pks[i], change[2], change[3]) end
    return pks, place, {}
  end
  local pks = call('ZRANGE', m.base .. KEY.ids, 0, request.count - 1)
  for i = 1, #pks do call('UNLINK', m.base .. KEY.object .. pks[i]) end
  if #pks > 0 then call('ZREM', m.base .. KEY.ids, unpack(pks)) end
  return pks, #pks == request.count and '0' or false, {}
end

return step
