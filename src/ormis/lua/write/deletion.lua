-- Deletes objects and those that refer to them, by each reference's on_delete: all or nothing.
-- As in Django, an object being deleted still PROTECTs its target (unless it is the target), but does not RESTRICT it.
-- A referrer of a model is {number of the referring model, position of its foreign key, action, default text|false,
-- position of the column whose values the foreign key holds}; links are removed from both sides.
-- In: KEYS[3], on a cluster.
-- Out: delete(m, pks, most), which returns {key of a model = count of its objects deleted, ...}, and refuses if more
--      than `most` objects refer to those that it deletes, and if a foreign key is to be set to a value that the client
--      computes: 'set_value', for which it then sends 'set_default' or 'set_null'; on a cluster if other partitions are
--      registered at objects that go: 'registered' names these with their entries, see elsewhere.lua.

local extend = require('server.lists').extend
local cleared_columns = require('write.cleared_columns')
local links = require('write.links')
local mutations = require('write.mutations')
local objects = require('write.objects')
local referring = require('write.referring')

-- On a cluster others may refer to it. What goes since something else has expired can't be held back.
local function note_registered(m, pk, doomed)
  local elsewhere = require('write.elsewhere')
  if mutations.expiring then return elsewhere.orphan(m.key, pk) end
  local entry = elsewhere.entry(m.key, pk)
  if entry then extend(doomed.registered, {m.key, pk, entry}) end
end

-- Deletes the object; first reads the columns needed to clear its derived data.
local function doom(object, doomed)
  local m = object.m
  objects.need(object, cleared_columns(m))
  mutations.reclaim(m, object.new, nil, object.pk)
  if m.links then links.drop(m, object.pk) end
  doomed.rows[object], object.new = object.new, nil
  doomed.counts[m.key] = (doomed.counts[m.key] or 0) + 1
  doomed[#doomed + 1] = object
  if KEYS[3] and m.referrers then note_registered(m, object.pk, doomed) end
end

local on_delete = {cascade = doom}

function on_delete.protect(object, doomed, position)
  table.insert(doomed.protected, {object, position})
end

function on_delete.restrict(object, doomed, position)
  table.insert(doomed.restricted, {object, position})
end

function on_delete.set_null(object, doomed, position)
  table.insert(doomed.changes, {object, position, false})
end

function on_delete.set_default(object, doomed, position, default)
  table.insert(doomed.changes, {object, position, default})
end

function on_delete.set_value(object, doomed, position)
  table.insert(doomed.wanted, {object, position})
end

local function follow(object, doomed)
  for _, referrer in ipairs(object.m.referrers or {}) do
    local value = doomed.rows[object][referrer[5]]
    if referrer[3] ~= 'do_nothing' and value then
      local child = mutations.model(referrer[1])
      local found = referring(child, referrer[2], value, doomed.most) or mutations.refuse('large', child.key)
      doomed.most = doomed.most - #found
      for _, other in ipairs(found) do
        if other.new then on_delete[referrer[3]](other, doomed, referrer[2], referrer[4]) end
      end
    end
  end
end

-- Of each model the foreign keys that protect: their positions, and the deleted objects by the values that lead there.
local function protecting_keys(doomed)
  local by_child, keys = {}, {}
  for i = 1, #doomed do
    for _, referrer in ipairs(doomed[i].m.referrers or {}) do
      if referrer[3] == 'protect' then
        if not keys[referrer] then
          local child = mutations.model(referrer[1])
          by_child[child] = by_child[child] or {}
          keys[referrer] = {position = referrer[2], targets = {}}
          table.insert(by_child[child], keys[referrer])
        end
        local value = doomed.rows[doomed[i]][referrer[5]]
        if value then keys[referrer].targets[value] = doomed[i] end
      end
    end
  end
  return by_child
end

-- Objects that go themselves before what they protect is reached protect it all the same.
local function find_protecting(doomed)
  local by_child = protecting_keys(doomed)
  for i = 1, #doomed do
    for _, key in ipairs(by_child[doomed[i].m] or {}) do
      local value = doomed.rows[doomed[i]][key.position]
      local target = value and key.targets[value]
      if target and target ~= doomed[i] then on_delete.protect(doomed[i], doomed, key.position) end
    end
  end
end

-- Refuses if values are missing that foreign keys are to be set to, naming each once.
local function refuse_wanted(doomed)
  local names, listed = {}, {}
  for _, pair in ipairs(doomed.wanted) do
    local m, name = pair[1].m, pair[1].m.key .. '.' .. pair[1].m.columns[pair[2]]
    if pair[1].new and not listed[name] then
      listed[name] = true
      names[#names + 1] = {m.key, m.columns[pair[2]]}
    end
  end
  if #names > 0 then mutations.refuse('wanted', names) end
end

-- Refuses where something in the list stands in the way, naming all of it; what goes too does not where `lets_go`.
local function refuse_standing(code, standing, lets_go)
  local keys, listed, first = {}, {}, nil
  for _, pair in ipairs(standing) do
    local object = pair[1]
    if not listed[object] and (object.new or not lets_go) then
      first, listed[object] = first or pair, true
      keys[#keys + 1] = object.m.key .. ':' .. object.pk
    end
  end
  if first then
    local m = first[1].m
    mutations.refuse(code, m.key, m.columns[first[2]], keys)
  end
end

local function delete(m, pks, most)
  local doomed = {counts = {}, rows = {}, protected = {}, restricted = {}, changes = {}, wanted = {}, registered = {}}
  doomed.most = most or math.huge
  for _, pk in ipairs(pks) do
    local object = objects.find(m, pk, {})
    if object then doom(object, doomed) end
  end
  local at = 1
  while doomed[at] do
    follow(doomed[at], doomed)
    at = at + 1
  end
  if doomed.registered[1] then mutations.refuse('registered', doomed.registered) end
  find_protecting(doomed)
  refuse_standing('protected', doomed.protected)
  refuse_standing('restricted', doomed.restricted, true)
  refuse_wanted(doomed)
  for _, change in ipairs(doomed.changes) do
    local object = change[1]
    if object.new then mutations.change(object.m, object.pk, {change[2], change[3]}) end
  end
  return doomed.counts
end

return delete
