--@include mutations
--@include apply
-- One function for each kind of mutation, as commit.lua lists them.
-- Out: actions, each a function of (model, mutation, result of the one before) that returns the result.

local actions = {}

-- The object ends so many milliseconds from now; false: never.
local function set_end(m, object, ttl)
  if ttl then
    --@include expiring
    expiring.mark(m)
    mutations.now = mutations.now or expiring.now()
  end
  object.ends, objects.ending = ttl and mutations.now + ttl, true
end

-- How many of the objects are there, whose end is set.
function actions.expire(m, mutation)
  local count = 0
  for _, pk in ipairs(mutation[3]) do
    local object = pk and objects.find(m, pk, {})
    if object then
      count = count + 1
      set_end(m, object, mutation[4])
    end
  end
  return count
end

function actions.insert(m, mutation)
  --@include inserting
  function actions.insert(m_, mutation_)
    local pks, ttl = insert(m_, mutation_[3], mutation_[4], mutation_[5]), mutation_[6]
    if ttl then actions.expire(m_, {'expire', false, pks, ttl}) end
    return pks
  end
  return actions.insert(m, mutation)
end

function actions.save(m, mutation)
  local row, changes = mutation[4], {}
  for position = 2, #m.columns do extend(changes, {position, row[position] or false}) end
  local object = mutations.change(m, row[1], changes)
  if not object then return actions.insert(m, mutation) end
  if mutation[6] then set_end(m, object, mutation[6]) end
  return {row[1]}
end

local check_expected, add_sums

function actions.update(m, mutation)
  local pk, changes, expected, sums, texts = mutation[3], mutation[4], mutation[5], mutation[6], true
  if expected then
    if not check_expected then
      --@include updating
      check_expected, add_sums = check_unchanged, add_up
    end
    local object = objects.find(m, pk, {})
    if not object then mutations.refuse('missing', m.key, pk) end
    check_expected(m, object, expected)
    local added
    added, texts = add_sums(m, object, sums)
    extend(changes, added)
  end
  local changed = mutations.change(m, pk, changes)
  if not changed then mutations.refuse('missing', m.key, pk) end
  if mutation[7] then set_end(m, changed, mutation[7]) end
  return texts
end

-- An update of an object that may be gone: then false.
function actions.amend(m, mutation)
  return objects.find(m, mutation[3], {}) ~= nil and actions.update(m, mutation)
end

function actions.delete(m, mutation)
  --@include deletion
  return delete(m, mutation[3])
end

function actions.link(m, mutation, made)
  --@include linking
  change_links(m, mutation[3], mutation[4], mutation[5] or made, mutation[1] == 'link')
  return true
end

actions.unlink = actions.link
