--@include mutations
--@include apply
-- One function for each kind of mutation, as commit.lua lists them.
-- Out: actions, each a function of (model, mutation) that returns the result.

local actions = {}

function actions.insert(m, mutation)
  --@include inserting
  function actions.insert(m_, mutation_) return insert(m_, mutation_[3], mutation_[4], mutation_[5]) end
  return insert(m, mutation[3], mutation[4], mutation[5])
end

function actions.save(m, mutation)
  local row, changes = mutation[4], {}
  for position = 2, #m.columns do extend(changes, {position, row[position] or false}) end
  return mutations.change(m, row[1], changes) and {row[1]} or actions.insert(m, mutation)
end

function actions.update(m, mutation)
  local pk, changes, expected, sums, texts = mutation[3], mutation[4], mutation[5], mutation[6], true
  if expected then
    --@include updating
    local object = objects.find(m, pk, {})
    if not object then mutations.refuse('missing', m.key, pk) end
    check_unchanged(m, object, expected)
    local added
    added, texts = add_up(m, object, sums)
    extend(changes, added)
  end
  if not mutations.change(m, pk, changes) then mutations.refuse('missing', m.key, pk) end
  return texts
end

function actions.delete(m, mutation)
  --@include deletion
  return delete(m, mutation[3])
end
