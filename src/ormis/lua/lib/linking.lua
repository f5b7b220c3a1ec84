--@include links
-- Links that are added or removed: what must be there for it.
-- Out: change_links(m, end, pk, others, adding).

local function check_end(m, name, target, pk)
  if not objects.known(tag .. target .. ':' .. pk) then mutations.refuse('link', m.key, name, target, pk) end
end

-- Every object that is to be linked; one command asks for many.
local function check_others(m, name, target, pks)
  local keys, base = {}, tag .. target .. ':'
  for i = 1, #pks do
    local key = base .. pks[i]
    if objects.by_key[key] then check_end(m, name, target, pks[i]) else keys[#keys + 1] = key end
  end
  for first = 1, #keys, 4000 do
    local last = math.min(first + 3999, #keys)
    if call('EXISTS', unpack(keys, first, last)) <= last - first then
      for i = first, last do check_end(m, name, target, string.sub(keys[i], #base + 1)) end
    end
  end
end

-- An object that is gone has no links: to remove them none of the others needs to be there.
local function change_links(m, ends, pk, others, adding)
  check_end(m, ends[1], m.key, pk)
  if adding then check_others(m, ends[1], ends[2], others) end
  links.change(m, ends, pk, others, adding and 'SADD' or 'SREM')
end
