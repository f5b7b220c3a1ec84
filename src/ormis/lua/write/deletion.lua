-- Deletes objects and those that refer to them, by each reference's on_delete: all or nothing.
-- As in Django, an object being deleted still PROTECTs its target (unless it is the target), but does not RESTRICT it.
-- A referrer of a model is {number of the referring model, position of its foreign key, action, default text|false};
-- links are removed from both sides.
-- Out: delete(m, pks, most), which returns {key of a model = count of its objects deleted, ...}, and refuses if more
--      than `most` objects refer to those that it deletes; stored_referrers(child, position, pk), the keys of the
--      objects that were stored as referring to pk.

local call = require('server.call')
local KEY = require('server.keys')
local models = require('model.models')
local links = require('write.links')
local mutations = require('write.mutations')
local objects = require('write.objects')

-- The keys of the objects that were stored as referring to pk: from the claim where the reference is one-to-one, from
-- the index, or from every object where that is not complete.
local function stored_referrers(child, position, pk)
  local name, incomplete = child.columns[position], child.incomplete or {}
  for i = 1, #child.unique, 2 do
    if child.unique[i] == name and not incomplete[name] then
      local holder_pk = call('HGET', child.base .. KEY.unique .. name, pk)
      return holder_pk and {holder_pk} or {}
    end
  end
  local key = models.equality_set(child, position, pk)
  if key then return call('SMEMBERS', key) end
  local found = {}
  for _, child_pk in ipairs(call('ZRANGE', child.base .. KEY.ids, 0, -1)) do
    if call('HGET', child.base .. KEY.object .. child_pk, name) == pk then found[#found + 1] = child_pk end
  end
  return found
end

-- The objects that refer to pk, after what the batch did so far.
local function referring(child, position, pk, most)
  local found, seen = {}, {}
  for _, child_pk in ipairs(stored_referrers(child, position, pk)) do
    local object = objects.find(child, child_pk, {position})
    if object then
      seen[object] = true
      if object.new[position] == pk then found[#found + 1] = object end
      if #found > most then mutations.refuse('large', child.key) end
    end
  end
  for i = 1, objects.count do
    local object = objects[i]
    if object.m == child and object.new and not seen[object] and object.new[position] == pk then
      found[#found + 1] = object
    end
  end
  return found
end

-- Deletes the object; first reads the columns needed to clear its derived data.
local function doom(object, doomed)
  local m, all = object.m, {}
  for position = 1, #m.columns do all[position] = position end
  objects.need(object, all)
  mutations.reclaim(m, object.new, nil, object.pk)
  if m.links then links.drop(m, object.pk) end
  doomed.rows[object], object.new = object.new, nil
  doomed.counts[m.key] = (doomed.counts[m.key] or 0) + 1
  doomed[#doomed + 1] = object
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

local function follow(object, doomed)
  for _, referrer in ipairs(object.m.referrers or {}) do
    if referrer[3] ~= 'do_nothing' then
      local found = referring(mutations.model(referrer[1]), referrer[2], object.pk, doomed.most)
      doomed.most = doomed.most - #found
      for _, other in ipairs(found) do
        if other.new then on_delete[referrer[3]](other, doomed, referrer[2], referrer[4]) end
      end
    end
  end
end

-- Objects that go themselves before what they protect is reached protect it all the same.
local function find_protecting(doomed)
  local protecting, seen = {}, {}
  for i = 1, #doomed do
    local target = doomed[i].m
    for _, referrer in ipairs(not seen[target] and target.referrers or {}) do
      if referrer[3] == 'protect' then
        local child = mutations.model(referrer[1])
        protecting[child] = protecting[child] or {}
        table.insert(protecting[child], {referrer[2], target.base .. KEY.object})
      end
    end
    seen[target] = true
  end
  for i = 1, #doomed do
    for _, pair in ipairs(protecting[doomed[i].m] or {}) do
      local value = doomed.rows[doomed[i]][pair[1]]
      local target = value and objects.by_key[pair[2] .. value]
      if target and target ~= doomed[i] and doomed.rows[target] then
        on_delete.protect(doomed[i], doomed, pair[1])
      end
    end
  end
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
  local doomed = {counts = {}, rows = {}, protected = {}, restricted = {}, changes = {}, most = most or math.huge}
  for _, pk in ipairs(pks) do
    local object = objects.find(m, pk, {})
    if object then doom(object, doomed) end
  end
  local at = 1
  while doomed[at] do
    follow(doomed[at], doomed)
    at = at + 1
  end
  find_protecting(doomed)
  refuse_standing('protected', doomed.protected)
  refuse_standing('restricted', doomed.restricted, true)
  for _, change in ipairs(doomed.changes) do
    local object = change[1]
    if object.new then mutations.change(object.m, object.pk, {change[2], change[3]}) end
  end
  return doomed.counts
end

return {delete = delete, stored_referrers = stored_referrers}
