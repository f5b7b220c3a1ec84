-- Changes of objects on condition of what was read of them.
-- Out: change_all(m, list): the keys of those that are changed or gone, of those that are not what was read, and {pk,
--      constraint, value, holder} of those whose new value another object has. An element of the list is {pk,
--      {position, text|false, ...}, {position, text|false that must still hold, ...}}.

local KEY = require('server.keys')
local call = require('server.call')
local changing = require('upkeep.changing')

-- Whether the hash still has these texts; nil if it is gone.
local function holds(m, pk, expected)
  local names = {m.columns[1]}
  for i = 1, #expected, 2 do names[#names + 1] = m.columns[expected[i]] end
  local texts = call('HMGET', m.base .. KEY.object .. pk, unpack(names))
  if not texts[1] then return nil end
  for i = 2, #names do
    if texts[i] ~= expected[2 * i - 2] then return false end
  end
  return true
end

local function change_all(m, list)
  local done, stale, refused = {}, {}, {}
  for _, one in ipairs(list) do
    local pk, changes, expected = unpack(one)
    local same = holds(m, pk, expected)
    if same == false then
      stale[#stale + 1] = pk
    else
      local name, value, holder
      if same and #changes > 0 then name, value, holder = changing.change(m, pk, changes) end
      if name then refused[#refused + 1] = {pk, name, value, holder} else done[#done + 1] = pk end
    end
  end
  changing.write(m)
  return done, stale, refused
end

return change_all
