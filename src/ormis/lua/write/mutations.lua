-- The checks and the changes in memory behind every mutation. A refusal ends the script before a write.
-- In: ARGV[3], ARGV[4] shape and declaration of model 1, ARGV[5], ARGV[6] of model 2, ...; KEYS[3], on a cluster.
-- Out: mutations: opened, the models by number; there, the set of keys known to exist; batch, the mutations of a
--      commit; current, the number of the one at work; awaited, the references to objects that the rest of a commit may
--      insert, or that may be in other partitions, nil if there is neither; now, the time of the call once it is
--      asked for; expiring, true while what has expired takes others with it; links, see links.lua; forget(),
--      model(number), refuse(code, ...), conflict(m, row, pk, changed|nil, only|nil), check_references(m, row,
--      changed|nil), check_at_end(), reclaim(m, old, new, pk), concerning(m, changes), change(m, pk, changes).

local KEY = require('server.keys')
local server = require('server.server')
local call, fail, keep = server.call, server.fail, server.keep
local lists = require('server.lists')
local extend, nothing = lists.extend, lists.nothing
local models = require('model.models')
local objects = require('write.objects')

local spread = KEYS[3] and require('server.counting').step > 1  -- over several partitions
local mutations = {opened = {}, there = {}, awaited = spread and {} or nil}
local left = {}  -- values of objects that something may refer to by them, and that have changed

-- The batch is written, or undone: later mutations belong to another one.
function mutations.forget()
  keep()
  for i = 1, objects.count do
    objects[i].m.claims = nil
    objects[i] = nil
  end
  objects.count, objects.by_key, mutations.there, mutations.links, left = 0, {}, {}, nil, {}
end

function mutations.refuse(code, ...)
  fail(code, mutations.current, ...)
end

-- A model of this call by its number, unpacked on first use.
function mutations.model(number)
  local m = mutations.opened[number]
  if not m then
    m = models.open(ARGV[2 * number + 1], ARGV[2 * number + 2], true)
    mutations.opened[number] = m
  end
  return m
end

-- The key of the hash that a foreign key leads to, by the primary key or by a unique field; nil if that has no holder.
local function referred_key(target, field, value)
  if not field then return KEY.prefix .. target .. KEY.object .. value end
  local pk = require('write.referred')(mutations.opened, target, field, value)
  return pk and KEY.prefix .. target .. KEY.object .. pk
end

local function is_own(m, row, target, field, value)
  if target ~= m.key then return false end
  if not field then return value == row[1] end
  for position, name in ipairs(m.columns) do
    if name == field then return value == row[position] end
  end
end

-- Whether an object of another partition may be referred to.
local function is_admitted(target, field, value)
  return spread and not field and require('write.elsewhere').is_admitted(target, value)
end

-- Checks that the targets of a row's foreign keys exist; an object may refer to itself.
function mutations.check_references(m, row, changed)
  local references = m.references
  for i = 1, #references, 3 do
    local position, target, field = references[i], references[i + 1], references[i + 2]
    local value = row[position]
    if value and (not changed or changed[position]) and not is_own(m, row, target, field, value) then
      local key = referred_key(target, field, value)
      local object = key and objects.by_key[key]
      if not object and not (key and mutations.there[key]) then
        if key and (call('EXISTS', key) == 1 or is_admitted(target, field, value)) then
          mutations.there[key] = true
        elseif mutations.awaited then
          table.insert(mutations.awaited, {mutations.current, m.key, m.columns[position], value, target, field})
        else
          mutations.refuse('reference', m.key, m.columns[position], value, target, field)
        end
      elseif object and not object.new then
        mutations.refuse('reference', m.key, m.columns[position], value, target, field)
      end
    end
  end
end

-- Notes the values of a row that change, if objects may refer to them. A referrer is as in deletion.lua.
local function note_left(m, old, new, changed)
  for _, referrer in ipairs(m.referrers) do
    local own = referrer[5]
    if changed[own] and old[own] and old[own] ~= new[own] and referrer[3] ~= 'do_nothing' then
      left[#left + 1] = {m, old[own], referrer, mutations.current}
    end
  end
end

-- Nothing may refer to a value that no object has any more.
local function check_left()
  for _, change in ipairs(left) do
    local m, value, referrer, number = unpack(change)
    local field, child = m.columns[referrer[5]], mutations.model(referrer[1])
    if not require('write.referred')(mutations.opened, m.key, field, value) then
      local keys = {}
      for i, object in ipairs(require('write.referring')(child, referrer[2], value, math.huge)) do
        keys[i] = child.key .. ':' .. object.pk
      end
      if #keys > 0 then fail('referred', number, m.key, field, value, keys) end
    end
  end
end

-- Before the writes of a batch: what is referred to must have come, or be there still. On a cluster it may be in
-- another partition, where this one has to be registered first.
function mutations.check_at_end()
  local missing
  for _, reference in ipairs(mutations.awaited or nothing) do
    local key = referred_key(reference[5], reference[6], reference[4])
    if not key or not objects.known(key) then
      if not spread then fail('reference', unpack(reference, 1, 6)) end
      missing = missing or {}
      missing[#missing + 1] = reference
    end
  end
  if missing then fail('unregistered', missing[1][1], require('write.elsewhere').revocations(), missing) end
  if #left > 0 then check_left() end
end

-- The first unique constraint, of those in the set `only` if it is given, whose value another object holds: its name,
-- the value, the holder.
function mutations.conflict(m, row, pk, changed, only)
  for i = 1, #m.unique, 2 do
    local name, fields = m.unique[i], m.unique[i + 1]
    local meant = (not only or only[name]) and (not changed or models.touches(m, fields, changed))
    local value = meant and models.claim(m, fields, row)
    if value then
      local claims = m.claims and m.claims[name]
      local other = claims and claims[value]
      if other == nil then other = call('HGET', m.base .. KEY.unique .. name, value) end
      if not other and m.incomplete and m.incomplete[name] then
        other = require('write.find_holder')(m, fields, value)
      end
      if other and other ~= pk and not objects.known(m.base .. KEY.object .. other) then other = nil end
      if other and other ~= pk then return name, value, other end
    end
  end
end

-- Notes which values are freed and claimed, so that the rest of the batch sees it.
function mutations.reclaim(m, old, new, pk)
  for i = 1, #m.unique, 2 do
    local name, fields = m.unique[i], m.unique[i + 1]
    local before, after = old and models.claim(m, fields, old), new and models.claim(m, fields, new)
    if before ~= after then
      m.claims = m.claims or {}
      local claims = m.claims[name] or {}
      if before then claims[before] = false end
      if after then claims[after] = pk end
      m.claims[name] = claims
    end
  end
end

-- The changed columns, and those that share an index or a constraint with them: positions to read, set of the changed.
function mutations.concerning(m, changes)
  local changed, positions, count, indexes = {}, {}, 0, m.indexes
  for i = 1, #changes, 2 do
    count = count + 1
    positions[count] = changes[i]
    changed[changes[i]] = true
  end
  for i = 1, #indexes, 5 do
    if indexes[i + 4] and models.concerned(m, i, changed) then
      extend(positions, indexes[i + 4])
      positions[#positions + 1] = indexes[i + 3]
    end
  end
  for i = 2, #m.unique, 2 do
    local fields = m.unique[i]
    if #fields > 1 and models.touches(m, fields, changed) then extend(positions, fields) end
  end
  return positions, changed
end

-- Changes columns of the object with this key, {position, text|false, ...}; returns it, nil where there is none.
function mutations.change(m, pk, changes)
  local positions, changed = mutations.concerning(m, changes)
  local object = objects.find(m, pk, positions)
  if not object then return nil end
  local row, new = {}, object.new
  for position, text in pairs(new) do row[position] = text end
  for i = 1, #changes, 2 do row[changes[i]] = changes[i + 1] end
  mutations.check_references(m, row, changed)
  if #m.unique > 0 then
    local unique, value, other = mutations.conflict(m, row, pk, changed)
    if unique then mutations.refuse('unique', m.key, unique, value, other) end
    mutations.reclaim(m, new, row, pk)
  end
  if m.referrers then note_left(m, new, row, changed) end
  object.new = row
  if object.changed then
    for position in pairs(changed) do object.changed[position] = true end
  end
  return object
end

return mutations
