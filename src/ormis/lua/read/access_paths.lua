-- The choice of an access path: the cheapest of the probes, see probes.lua, and the measures of those that name several
-- values or have probes of their own within: their `paths` and `model` are for explaining.lua, and with `several` the
-- cost may count an object several times.
-- Out: choose(m, conjuncts, probes), the cheapest, nil if every object has to be looked at; measured(probe, m,
--      conjuncts), its cost, nil if it is useless; usable(probe, m), whether its index is complete; covers(probe), the
--      numbers of the conjuncts that it is about; bounded(probe), whether it asks for something of its last field.

local KEY = require('server.keys')
local call = require('server.call')
local key_part = require('server.key_part')
local lists = require('server.lists')
local extend, nothing = lists.extend, lists.nothing
local open_models = require('read.open_models')
local probing = require('read.probes')
local keys_of = require('read.sift').keys_of

local choose
local measures = {}

function measures.nothing(probe)
  probe.cost, probe.exact, probe.keys = 0, true, {}
end

function measures.key_in(probe, _, conjuncts)
  local part, keys = conjuncts[probe[4]], {}
  for i = 5, #part do keys[i - 4] = part[i] end
  probe.cost, probe.keys = #keys, keys
end

function measures.unique_in(probe, m, conjuncts)
  local part, keys = conjuncts[probe[4]], {}
  for i = 5, #part do
    local pk = call('HGET', m.base .. KEY.unique .. probe[3], part[i])
    if pk then keys[#keys + 1] = pk end
  end
  probe.cost, probe.exact, probe.keys = #keys, true, keys
end

function measures.equal_in(probe, m, conjuncts)
  local part, key, cost, sets = conjuncts[probe[4]], probing.index_key(probe, m.base, conjuncts), 0, {}
  for i = 5, #part do
    sets[i - 4] = key .. '=' .. key_part(part[i])
    cost = cost + call('SCARD', sets[i - 4])
  end
  probe.cost, probe.exact = cost, true
  function probe.list()
    local keys = {}
    for i = 1, #sets do extend(keys, call('SMEMBERS', sets[i])) end
    return keys
  end
end

function measures.text(probe, m, conjuncts)
  local key, low, high = probing.index_key(probe, m.base, conjuncts), conjuncts[probe[4]], conjuncts[probe[5]]
  probe.low, probe.high, probe.exact = '-', '+', not low and not high
  if low and low[4] == 'eq' then
    probe.low, probe.high = '[' .. low[5] .. '\0', '(' .. low[5] .. '\1'
  elseif low and low[4] == 'startswith' then
    probe.low, probe.high = '[' .. low[5], '[' .. low[5] .. '\255'
  else
    if low then probe.low = '[' .. low[5] end
    -- The text before a NUL may be a whole value: with the NUL and its key it sorts after the bound.
    if high then probe.high = '(' .. require('values.text_entries').start_of(high[5]) .. '\1' end
  end
  probe.key, probe.cost = key, call('ZLEXCOUNT', key, probe.low, probe.high)
  function probe.list()
    return require('read.text_index')(key, probe.low, probe.high, probe.in_parts)
  end
end

-- Through an index of a kind that answers this comparison by itself, see index_kinds.lua.
function measures.entries(probe, m, conjuncts)
  local index, part = m.indexes[probe[2]], conjuncts[probe[4]]
  local key, exact = index.kind.probe(probing.index_key(probe, m.base, conjuncts), part[4], part[5], part[3])
  if not key then return end
  probe.by, probe.cost, probe.exact = index.type, call('SCARD', key), exact
  function probe.list()
    local keys = call('SMEMBERS', key)
    for i = 1, #keys do keys[i] = index.kind.primary_key(keys[i]) end
    return keys
  end
end

-- The common conditions of a list, as a list.
local function parts_of(condition)
  if condition[1] == 'true' then return {} end
  return condition[1] == 'and' and {unpack(condition, 2)} or {condition}
end

-- A list of the keys that are added, each once.
local function each_once()
  local keys, seen = {}, {}
  return keys, function(pk)
    if pk and not seen[pk] then
      seen[pk] = true
      keys[#keys + 1] = pk
    end
  end
end

function measures.union(probe, m, conjuncts)
  local node, cost, paths = conjuncts[probe[4]], 0, {}
  for i = 2, #node do
    local path = choose(m, parts_of(node[i]), probe[4 + i])
    if not path then return end
    paths[i - 1] = path
    cost = cost + path.cost
  end
  probe.cost, probe.paths = cost, paths
  function probe.list()
    local keys, add = each_once()
    for i = 1, #paths do
      for _, pk in ipairs(keys_of(paths[i])) do add(pk) end
    end
    return keys
  end
end

-- Through a foreign key, from the objects it may point at: worth it while they are few.
function measures.forward(probe, m, conjuncts)
  local node = conjuncts[probe[4]]
  local target = open_models.model_at(node[3])
  local path = choose(target, parts_of(node[4]), probe[6])
  if not path or path.cost > 200 then return end
  local keys, by = {}, node[5]
  for _, pk in ipairs(keys_of(path)) do
    local value = by == 1 and pk or call('HGET', target.base .. KEY.object .. pk, target.columns[by])
    if value then extend(keys, open_models.holders(m, node[2], value)) end
  end
  probe.cost, probe.keys, probe.paths, probe.model = #keys, keys, {path}, target
end

function measures.reverse(probe, m, conjuncts)
  local node = conjuncts[probe[4]]
  local child = open_models.model_at(node[2])
  local path = choose(child, parts_of(node[4]), probe[6])
  if not path or path.cost > 5000 then return end
  probe.cost, probe.paths, probe.model = path.cost, {path}, child
  function probe.list()
    local keys, add = each_once()
    for _, pk in ipairs(keys_of(path)) do
      local value = call('HGET', child.base .. KEY.object .. pk, child.columns[node[3]])
      if node[5] == 1 then
        add(value)
      else
        for _, own in ipairs(value and open_models.holders(m, node[5], value) or nothing) do add(own) end
      end
    end
    return keys
  end
end

-- Through links, from the sets of the objects on the other side.
function measures.links(probe, _, conjuncts)
  local node = conjuncts[probe[4]]
  local other, wanted, inner = open_models.model_at(node[2]), open_models.keys_asked(node[5]), nil
  if wanted then
    wanted = open_models.existing(other, wanted)
  else
    inner = choose(other, parts_of(node[5]), probe[6])
    wanted = inner and inner.cost <= 500 and keys_of(inner)
  end
  if not wanted or #wanted == 1000 then return end
  local base, sets, cost = open_models.links_base(other, node[4]), {}, 0
  for i = 1, #wanted do
    sets[i] = base .. key_part(wanted[i])
    cost = cost + call('SCARD', sets[i])
  end
  probe.cost, probe.exact, probe.several = cost, not inner, #sets > 1
  probe.paths, probe.model = {inner}, other
  function probe.list()
    return #sets == 0 and {} or call('SUNION', unpack(sets))
  end
end

local function usable(probe, m)
  local declared = (probe[1] == 'unique' or probe[1] == 'unique_in') and m.unique or m.indexes
  return probe[2] == 0 or declared[probe[2]].complete
end

local function measured(probe, m, conjuncts)
  local own = measures[probe[1]]
  if own and not probe.cost then own(probe, m, conjuncts) end
  if not own and not probe.cost then probing.measure(probe, m.base, conjuncts) end
  return probe.cost
end

local function bounded(probe)
  return probe[4] + probe[5] > 0
end

local function covers(probe)
  if not probe.covers then
    local list = {}
    if probe[4] > 0 then list[1] = probe[4] end
    if probe[5] > 0 and probe[5] ~= probe[4] then list[#list + 1] = probe[5] end
    if probe[2] > 0 then
      for i = 7, #probe, 2 do list[#list + 1] = probe[i] end
    end
    probe.covers = list
  end
  return probe.covers
end

-- Without a bound on its last field an index lacks the objects in which that is absent. Of two with as many candidates
-- the one that covers more of the condition.
function choose(m, conjuncts, probes)
  local best
  for i = 1, #probes do
    local probe = probes[i]
    local cost = bounded(probe) and usable(probe, m) and measured(probe, m, conjuncts)
    if cost and (not best or cost < best.cost or cost == best.cost and #covers(probe) > #covers(best)) then
      best = probe
    end
  end
  return best
end

return {choose = choose, measured = measured, usable = usable, covers = covers, bounded = bounded}
