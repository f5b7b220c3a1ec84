-- Changes of single objects with all that is derived from them, for migrations: foreign keys are not looked at, and a
-- constraint that is incomplete refuses nothing.
-- Out: concerned(m, first, last), whether an index, a constraint or an expiry record depends on the columns at these
--      positions; change(m, pk, changes), changes being {position, text|false, ...}: nothing, or the constraint, the
--      value and the holder where another object has it; write(m), which writes the changes of all objects.

local models = require('model.models')
local mutations = require('write.mutations')

local function concerned(m, first, last)
  local changed = {}
  for i = first, last do changed[i] = true end
  for i = 1, #m.indexes, 5 do
    if models.concerned(m, i, changed) then return true end
  end
  for i = 2, #m.unique, 2 do
    if models.touches(m, m.unique[i], changed) then return true end
  end
  return false
end

local function complete_constraints(m)
  if not m.complete then
    m.complete = {}
    for i = 1, #m.unique, 2 do
      m.complete[m.unique[i]] = not (m.incomplete and m.incomplete[m.unique[i]])
    end
  end
  return m.complete
end

local function change(m, pk, changes)
  local positions, changed = mutations.concerning(m, changes)
  local object = require('write.objects').find(m, pk, positions)
  if not object then return end
  local row, new = {}, object.new
  for position, text in pairs(new) do row[position] = text end
  for i = 1, #changes, 2 do row[changes[i]] = changes[i + 1] end
  local name, value, holder = mutations.conflict(m, row, pk, changed, complete_constraints(m))
  if name then return name, value, holder end
  mutations.reclaim(m, new, row, pk)
  object.new = row
  for position in pairs(changed) do object.changed[position] = true end
end

local function write(m)
  mutations.opened[1] = m
  require('write.apply')(mutations.opened)
end

return {concerned = concerned, change = change, write = write}
