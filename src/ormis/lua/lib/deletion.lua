--@include links
-- Deletes objects with what refers to them, as each reference's on_delete says: everything goes or nothing.
-- A referrer of a model is {number of the referring model, position of its foreign key, action, default text|false};
-- links are removed from both sides.
-- Out: delete(m, keys), which returns {key of a model = count of its objects deleted, ...}.

-- The keys of the objects that were stored as referring to pk: from the claim where the reference is one-to-one, from
-- the index, or from every object where that is not complete.
local function stored_referrers(child, position, pk)
  local name, indexes, incomplete = child.columns[position], child.indexes, child.incomplete or {}
  for i = 1, #child.unique, 2 do
    if child.unique[i] == name and not incomplete[name] then
      local holder_pk = call('HGET', child.base .. '/unique/' .. name, pk)
      return holder_pk and {holder_pk} or {}
    end
  end
  for i = 1, #indexes, 5 do
    if indexes[i] == 'equal' and indexes[i + 3] == position and not indexes[i + 4] and not incomplete[i] then
      return call('SMEMBERS', child.base .. '/index/' .. name .. '=' .. short(pk))
    end
  end
  local found = {}
  for _, child_pk in ipairs(call('ZRANGE', child.base .. '/ids', 0, -1)) do
    if call('HGET', child.base .. ':' .. child_pk, name) == pk then found[#found + 1] = child_pk end
  end
  return found
end

-- The objects that refer to pk, after what the batch did so far.
local function referring(child, position, pk)
  local found, seen = {}, {}
  for _, child_pk in ipairs(stored_referrers(child, position, pk)) do
    local object = objects.find(child, child_pk, {position})
    if object then
      seen[object] = true
      if object.new[position] == pk then found[#found + 1] = object end
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

-- The object goes; what is needed to clear what is derived from it is read first.
local function doom(object, doomed)
  local m, all = object.m, {}
  for position = 1, #m.columns do all[position] = position end
  objects.need(object, all)
  mutations.reclaim(m, object.new, nil, object.pk)
  if m.links then links.drop(m, object.pk) end
  object.new = nil
  doomed.counts[m.key] = (doomed.counts[m.key] or 0) + 1
  doomed[#doomed + 1] = object
end

local on_delete = {}

function on_delete.cascade(object, _, doomed)
  doom(object, doomed)
end

function on_delete.protect(object, referrer, doomed)
  table.insert(doomed.protected, {object, referrer})
end

function on_delete.restrict(object, referrer, doomed)
  table.insert(doomed.restricted, {object, referrer})
end

function on_delete.set_null(object, referrer)
  mutations.change(object.m, object.pk, {referrer[2], false})
end

function on_delete.set_default(object, referrer)
  mutations.change(object.m, object.pk, {referrer[2], referrer[4]})
end

function on_delete.do_nothing()
end

local function follow(object, doomed)
  for _, referrer in ipairs(object.m.referrers or {}) do
    if referrer[3] ~= 'do_nothing' then
      for _, other in ipairs(referring(mutations.model(referrer[1]), referrer[2], object.pk)) do
        if other.new then on_delete[referrer[3]](other, referrer, doomed) end
      end
    end
  end
end

-- Refuses where something in the list still stands in the way, naming all of it.
local function refuse_remaining(code, standing)
  local keys, first = {}, nil
  for _, pair in ipairs(standing) do
    local object = pair[1]
    if object.new then
      first = first or pair
      keys[#keys + 1] = object.m.key .. ':' .. object.pk
    end
  end
  if first then
    local m = first[1].m
    mutations.refuse(code, m.key, m.columns[first[2][2]], keys)
  end
end

local function delete(m, pks)
  local doomed = {counts = {}, protected = {}, restricted = {}}
  for _, pk in ipairs(pks) do
    local object = objects.find(m, pk, {})
    if object then doom(object, doomed) end
  end
  local at = 1
  while doomed[at] do
    follow(doomed[at], doomed)
    at = at + 1
  end
  refuse_remaining('protected', doomed.protected)
  refuse_remaining('restricted', doomed.restricted)
  return doomed.counts
end
