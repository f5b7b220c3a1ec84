-- Links that are added or removed: checks that the objects exist.
-- Out: change_links(m, link, pk, others, adding, elsewhere), elsewhere: objects of other partitions, or nil;
--      change_halves(m, link, pks, member, adding), of the sets of these objects alone.

local call = require('server.call')
local KEY = require('server.keys')
local links = require('write.links')
local mutations = require('write.mutations')
local objects = require('write.objects')

local function check_object(m, name, target, pk)
  local key = KEY.prefix .. target .. KEY.object .. pk
  if not objects.known(key) then mutations.refuse('link', m.key, name, target, pk) end
end

-- Every object that is to be linked; one command asks for many.
local function check_others(m, name, target, pks)
  local keys, base = {}, KEY.prefix .. target .. KEY.object
  for i = 1, #pks do
    local key = base .. pks[i]
    if objects.by_key[key] then check_object(m, name, target, pks[i]) else keys[#keys + 1] = key end
  end
  for first = 1, #keys, 4000 do
    local last = math.min(first + 3999, #keys)
    if call('EXISTS', unpack(keys, first, last)) <= last - first then
      for i = first, last do check_object(m, name, target, string.sub(keys[i], #base + 1)) end
    end
  end
end

-- An object that is gone has no links: to remove them none of the others needs to be there.
local function change_links(m, link, pk, others, adding, elsewhere)
  local command = adding and 'SADD' or 'SREM'
  check_object(m, link[1], m.key, pk)
  if adding then check_others(m, link[1], link[2], others) end
  if #others > 0 or not elsewhere then links.change(m, link, pk, others, command) end
  if elsewhere then links.change_half(m, link, {pk}, elsewhere, command) end
end

local function change_halves(m, link, pks, member, adding)
  if adding then check_others(m, link[1], m.key, pks) end
  links.change_half(m, link, pks, member, adding and 'SADD' or 'SREM')
end

return {change_links = change_links, change_halves = change_halves}
