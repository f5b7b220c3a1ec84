-- The models of a query, opened once a call, and what can be asked of each.
-- In: ARGV[3], ARGV[4] shape and declaration of model 1, ARGV[5], ARGV[6] of model 2, ...
-- Out: model_at(number), a model whose indexes and unique are lists of tables; existing(m, keys), those that are there;
--      holders(m, position, value), the keys of those with this value in a column, some of which may be gone;
--      holder(m, position, value), the key of the one there; index_on(m, kind, position); links_base(m, name), a key of
--      links but for the primary key at its end; keys_asked(condition), the primary keys it asks for, nil if for more;
--      clear_with(cleanup), of a call that writes, before a model is opened; gone_in(m, probe), see left_behind.lua;
--      asks_others, true once a compiled condition reads other objects than the row's own.

local KEY = require('server.keys')
local call = require('server.call')
local key_part = require('server.key_part')
local index_kinds = require('model.index_kinds')
local models = require('model.models')
local nothing = require('server.lists').nothing
local loose = require('values.compare').loose

local opened = {}

-- The indexes and constraints of a model by name: here they are searched more often than walked.
local function named(m)
  local indexes, unique, incomplete = {}, {}, m.incomplete or {}
  for i = 1, #m.indexes, 5 do
    local prefix, names = m.indexes[i + 4] or {}, {}
    for j = 1, #prefix do names[j] = m.columns[prefix[j]] end
    indexes[#indexes + 1] = {
      type = m.indexes[i], kind = index_kinds[m.indexes[i]], name = m.indexes[i + 2],
      last = m.indexes[i + 3], prefix = prefix, names = names, base = m.base .. KEY.index, complete = not incomplete[i],
    }
  end
  for i = 1, #m.unique, 2 do
    local name = m.unique[i]
    unique[#unique + 1] = {
      fields = m.unique[i + 1], key = m.base .. KEY.unique .. name, complete = not incomplete[name],
    }
  end
  m.indexes, m.unique = indexes, unique
  return m
end

-- What clears expired objects away, see cleanup.lua; nil in a call that only reads.
local clear_expired

local function clear_with(cleanup)
  clear_expired = cleanup
end

-- A model of this call by its number, unpacked on first use. ARGV[3] on: shape and declaration of each. What expired
-- objects left behind is cleared away by a call that writes; `unsure` says that some of it may be there still.
local function model_at(number)
  local m = opened[number]
  if not m then
    m = models.open(ARGV[2 * number + 1], ARGV[2 * number + 2], false)
    if m.expires and clear_expired then
      m.unsure = clear_expired(m, require('read.request').most)
    elseif m.expires and require('expiry.left_behind').look(m) then
      require('read.request').expired_left = true
    end
    m = named(m)
    opened[number] = m
  end
  return m
end

-- How many of its expired objects a measured probe allows, whose remains are still there; nil if it can't be told.
local function gone_in(m, probe)
  if not m.gone then return 0 end
  return require('expiry.left_behind').gone_in(m, probe)
end

-- Of some keys those of objects that are there: others are expired, or their hashes were deleted by other programs.
local function existing(m, keys)
  local found = {}
  for i = 1, #keys do
    if call('EXISTS', m.base .. KEY.object .. keys[i]) == 1 then found[#found + 1] = keys[i] end
  end
  return found
end

-- The key of the index of this kind, 'equal' or 'sorted', on a column alone; nil if there is none that has all objects.
-- Of an equality index `=` and a value follow.
local function index_on(m, kind, position)
  for i = 1, #m.indexes do
    local index = m.indexes[i]
    if index.complete and index.type == kind and #index.prefix == 0 and index.last == position then
      return index.base .. index.name
    end
  end
  return nil
end

-- The keys of the objects of m whose column at this position has this value; some may not be there any more.
local function holders(m, position, value)
  if position == 1 then return {value} end
  for i = 1, #m.unique do
    local unique = m.unique[i]
    if unique.complete and #unique.fields == 1 and unique.fields[1] == position then
      local holder = call('HGET', unique.key, value)
      return holder and {holder} or nothing
    end
  end
  local index = index_on(m, 'equal', position)
  if index then return call('SMEMBERS', index .. '=' .. key_part(value)) end
  local keys, name = {}, m.columns[position]
  for _, key in ipairs(call('ZRANGE', m.base .. KEY.ids, 0, -1)) do
    if call('HGET', m.base .. KEY.object .. key, name) == value then keys[#keys + 1] = key end
  end
  return keys
end

-- The key of the one object of m whose column at this position has this value.
local function holder(m, position, value)
  local keys = holders(m, position, value)
  return (#keys > 1 and existing(m, keys) or keys)[1]
end

-- The key of the set of links, less the key of the object at its end.
local function links_base(m, name)
  return m.base .. KEY.links .. name .. '/'
end

-- The texts of the keys that a condition asks for, where it asks for nothing else.
local function keys_asked(condition)
  local asked = condition[1] == 'cmp' and condition[2] == 1 and (condition[4] == 'eq' or condition[4] == 'in')
  if asked and not loose[condition[3]] then return {unpack(condition, 5, math.min(#condition, 1000))} end
end

return {
  model_at = model_at, existing = existing, holders = holders, holder = holder, links_base = links_base,
  keys_asked = keys_asked, index_on = index_on, clear_with = clear_with, gone_in = gone_in,
  asks_others = false,
}
