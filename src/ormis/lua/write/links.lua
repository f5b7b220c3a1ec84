-- Many-to-many links: on each side a set of the keys of the others.
-- One end of a relation is {name, key of the other model, name there}; m.links lists the ends of a model, flat.
-- The changes of a batch are noted in mutations.links, {command, key, member | {member, ...}, ...} in the order of the
-- batch, and written after the objects.
-- Out: change(m, link, pk, others, command), change_half(m, link, pks, members, command), drop(m, pk), write().

local KEY = require('server.keys')
local call = require('server.call')
local key_part = require('server.key_part')
local mutations = require('write.mutations')

local function log_change(command, key, members)
  local log = mutations.links or {}
  mutations.links = log
  local count = #log
  log[count + 1], log[count + 2], log[count + 3] = command, key, members
end

local function set_key(model_key, name)
  return KEY.prefix .. model_key .. KEY.links .. name .. '/'
end

-- Adds or removes ('SADD', 'SREM') the links between pk and the others, on both sides.
local function change(m, link, pk, others, command)
  local key, there = set_key(m.key, link[1]) .. key_part(pk), set_key(link[2], link[3])
  log_change(command, key, others)
  for i = 1, #others do log_change(command, there .. key_part(others[i]), pk) end
end

-- Adds or removes a half of links, in the sets of these objects alone: the other halves are in other partitions.
local function change_half(m, link, pks, members, command)
  for i = 1, #pks do log_change(command, set_key(m.key, link[1]) .. key_part(pks[i]), members) end
end

-- The members of a set after what the batch did so far.
local function members_of(key)
  local found, log = call('SMEMBERS', key), mutations.links or {}
  local present = {}
  for i = 1, #found do present[found[i]] = true end
  for i = 1, #log, 3 do
    local command, members = log[i], log[i + 2]
    if log[i + 1] == key then
      for _, member in ipairs(type(members) == 'table' and members or {members}) do
        present[member] = command == 'SADD' or nil
      end
    end
  end
  found = {}
  for member in pairs(present) do found[#found + 1] = member end
  return found
end

-- Removes all links of an object that goes.
local function drop(m, pk)
  for i = 1, #m.links, 3 do
    local key, there = set_key(m.key, m.links[i]) .. key_part(pk), set_key(m.links[i + 1], m.links[i + 2])
    local others = members_of(key)
    if #others > 0 then
      for j = 1, #others do
        log_change('SREM', there .. key_part(others[j]), pk)
      end
      log_change('SREM', key, others)
    end
  end
end

local function write()
  local write_set = require('server.undo').write
  local log = mutations.links
  for i = 1, #log, 3 do
    local command, key, members = log[i], log[i + 1], log[i + 2]
    if type(members) == 'table' then
      for first = 1, #members, 4000 do
        write_set(command, key, unpack(members, first, math.min(first + 3999, #members)))
      end
    else
      write_set(command, key, members)
    end
  end
end

return {change = change, change_half = change_half, drop = drop, write = write}
