-- One function for each kind of mutation, as commit.lua lists them.
-- Out: actions: expire(m, mutation), insert(m, mutation), save(m, mutation), update(m, mutation), amend(m, mutation),
--      delete(m, mutation), link(m, mutation, inserted), unlink, half, numbered, of a model, a mutation, and the
--      result of the mutation before; each returns its result.

local extend = require('server.lists').extend
local mutations = require('write.mutations')
local objects = require('write.objects')

local actions = {}

-- The object expires so many milliseconds from now; false: never.
local function set_expires_at(m, object, ttl)
  if ttl then
    require('expiry.expiring').mark(m)
    mutations.now = mutations.now or require('expiry.expiring').now()
  end
  object.expires_at, objects.expiring = ttl and mutations.now + ttl, true
end

-- How many of the objects are there, that get a time.
function actions.expire(m, mutation)
  local count = 0
  for _, pk in ipairs(mutation[3]) do
    local object = pk and objects.find(m, pk, {})
    if object then
      count = count + 1
      set_expires_at(m, object, mutation[4])
    end
  end
  return count
end

function actions.insert(m, mutation)
  local pks, ttl = require('write.inserting')(m, mutation[3], mutation[4], mutation[5]), mutation[6]
  if ttl then actions.expire(m, {'expire', false, pks, ttl}) end
  return pks
end

function actions.save(m, mutation)
  local row, changes = mutation[4], {}
  for position = 2, #m.columns do extend(changes, {position, row[position] or false}) end
  local object = mutations.change(m, row[1], changes)
  if not object then return actions.insert(m, mutation) end
  if mutation[6] then set_expires_at(m, object, mutation[6]) end
  return {row[1], true}
end

-- Returns the texts of the arithmetic, true without any; false if there is no such object.
function actions.amend(m, mutation)
  local pk, changes, expected, sums, texts = mutation[3], mutation[4], mutation[5], mutation[6], true
  if expected then
    local updating = require('write.updating')
    local object = objects.find(m, pk, {})
    if not object then return false end
    updating.check_unchanged(m, object, expected)
    local added
    added, texts = updating.apply_arithmetic(m, object, sums)
    extend(changes, added)
  end
  local changed = mutations.change(m, pk, changes)
  if not changed then return false end
  if mutation[7] then set_expires_at(m, changed, mutation[7]) end
  return texts
end

-- The same for an object that must be there.
function actions.update(m, mutation)
  return actions.amend(m, mutation) or mutations.refuse('missing', m.key, mutation[3])
end

function actions.delete(m, mutation)
  return require('write.deletion')(m, mutation[3], mutation[4])
end

function actions.link(m, mutation, inserted)
  local others, elsewhere = mutation[5] or inserted, mutation[6]
  require('write.linking').change_links(m, mutation[3], mutation[4], others, mutation[1] == 'link', elsewhere)
  return true
end

function actions.half(m, mutation)
  require('write.linking').change_halves(m, mutation[3], mutation[4], mutation[5], mutation[6])
  return true
end

actions.unlink = actions.link

function actions.numbered(m, mutation)
  require('write.tickets').check(m, mutation[3])
  return true
end

return actions
