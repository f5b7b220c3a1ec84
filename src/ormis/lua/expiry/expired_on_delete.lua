-- Applies the on_delete rules of objects that have expired, some of them a call. Time can't be held back: a reference
-- that protects, or that is to be set to what a client computes, becomes absent if it may be, else its object goes too.
-- ormis/expired/model, a set, holds the primary keys whose rules are still to be applied, and 'field NUL value' of the
-- unique fields that are referred to.
-- In: KEYS[3], on a cluster.
-- Out: apply_rules(m, written), see cleanup.lua. No batch may be at work: its objects are forgotten.

local KEY = require('server.keys')
local server = require('server.server')
local call, pcommand, attempt = server.call, server.pcommand, server.attempt
local lists = require('server.lists')
local extend, nothing = lists.extend, lists.nothing
local catalog = require('model.catalog')
local read_catalog, referrers_of = catalog.read_catalog, catalog.referrers_of
local links_of, reference_of = catalog.links_of, catalog.reference_of
local models = require('model.models')
local merge_declarations = require('model.merge_declarations')
local position_of = require('model.position_of')
local apply = require('write.apply')
local delete = require('write.deletion')
local stored_holders = require('write.stored_holders')
local mutations = require('write.mutations')
local objects = require('write.objects')
local held_long = require('server.held_long')

local OBJECTS, REFERRERS = 50, 25

-- A model as the database knows it, with its referring models, under its key instead of a number of this call.
local function known_model(known, key)
  local m = mutations.opened[key]
  if m then return m end
  local declaration = known[key] or nothing  -- on a cluster there may be no objects of it here
  m = {
    key = key, base = KEY.prefix .. key, columns = {declaration.pk or 'id'}, references = {}, referrers = {},
    indexes = {}, unique = {}, expires = declaration.expires, links = links_of(known, key),
  }
  mutations.opened[key] = m
  if declaration.text then merge_declarations(m, declaration.text, declaration.text, false) end
  for _, reference in ipairs(declaration.references or {}) do
    local column, target, field = reference_of(reference)
    extend(m.references, {position_of(m, column), target, field})
  end
  for _, referrer in ipairs(referrers_of(known, key)) do
    local child, action, field = known_model(known, referrer[1]), referrer[3], referrer[6]
    if action == 'protect' or action == 'restrict' or action == 'set_value' then
      action = referrer[4] and 'set_null' or 'cascade'
    end
    local own = field and position_of(m, field) or 1
    table.insert(m.referrers, {referrer[1], position_of(child, referrer[2]), action, referrer[5], own, referrer[4]})
  end
  return m
end

-- Some of the keys of objects that are stored with this foreign key; those of objects that are gone lose their entry.
local function some_referrers(child, position, value)
  local key = models.equality_set(child, position, value)
  if not key then return stored_holders(child, position, value), false end
  local pks, live = call('SRANDMEMBER', key, REFERRERS), {}
  for _, child_pk in ipairs(pks) do
    if objects.find(child, child_pk, {position}) then
      live[#live + 1] = child_pk
    else
      call('SREM', key, child_pk)
    end
  end
  return live, #pks == REFERRERS
end

local acted = 0

local function act(child, child_pk, referrer)
  acted = acted + 1
  local position, action, default = referrer[2], referrer[3], referrer[4]
  local changes = {position, action == 'set_default' and default or false}
  local done = action ~= 'cascade' and pcall(mutations.change, child, child_pk, changes)
  if not done and action == 'set_default' and referrer[6] then
    done = pcall(mutations.change, child, child_pk, {position, false})
  end
  if not done then pcall(delete, child, {child_pk}) end
end

local function write_changes()
  local touched = {}
  for i = 1, objects.count do touched[#touched + 1] = objects[i].m end
  local ok, failure = attempt(apply, touched)
  mutations.forget()
  if not ok then error(failure, 0) end
end

-- The position of the column and the value of it that are meant by a member of the set.
local function referred_by(m, member)
  local at = string.find(member, '\0', 1, true)
  if not at then return 1, member, member end
  local field, value = string.sub(member, 1, at - 1), string.sub(member, at + 1)
  return position_of(m, field), value, require('write.referred')(mutations.opened, m.key, field, value)
end

-- Applies the rules of one object as far as there is room; true when nothing refers to it any more.
local function apply_rules_of(m, member)
  local own, value, pk = referred_by(m, member)
  if pk and call('EXISTS', m.base .. KEY.object .. pk) == 1 then return true end
  local complete = true
  for _, referrer in ipairs(m.referrers) do
    local child = mutations.opened[referrer[1]]
    local pks, more = nothing, false
    if referrer[5] == own then pks, more = some_referrers(child, referrer[2], value) end
    for _, child_pk in ipairs(pks) do
      local object = objects.find(child, child_pk, {referrer[2]})
      if object and object.new[referrer[2]] == value then act(child, child_pk, referrer) end
    end
    write_changes()
    complete = complete and not more
  end
  return complete
end

local function apply_rules(m, written)
  local key = KEY.prefix .. KEY.expired .. m.key
  local pks = pcommand('SRANDMEMBER', key, math.max(OBJECTS, 2 * (written or 0)))
  if type(pks) ~= 'table' or pks.err or #pks == 0 or type(pcommand('SREM', key, '')) == 'table' then return end
  local known = read_catalog()
  if not (known[m.key] or KEYS[3]) then return end
  -- These models are those that the database knows, by their keys; those of the batch to come have numbers.
  local opened, awaited = mutations.opened, mutations.awaited
  mutations.opened, mutations.awaited, mutations.expiring, acted = {}, nil, true, 0
  local own = known_model(known, m.key)
  local least, most = math.max(REFERRERS, math.ceil(1.1 * (written or 0))), math.max(REFERRERS, 2 * (written or 0))
  for _, pk in ipairs(pks) do
    local fine, result = pcall(apply_rules_of, own, pk)
    if not fine then mutations.forget() end
    -- A rule refused for lack of rights is left to a caller with more; one that needs a repair is not tried again.
    local refused = not fine and type(result) == 'table' and result.refusal
    if not refused and (not fine or result) then pcommand('SREM', key, pk) end
    if refused or acted >= most or acted >= least and held_long() then break end
  end
  mutations.opened, mutations.awaited, mutations.expiring = opened, awaited, nil
end

return apply_rules
