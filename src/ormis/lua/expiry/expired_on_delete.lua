-- Applies the on_delete rules of objects that have expired, some of them a call. Time can't be held back: a reference
-- that protects becomes absent if it may be, else its object goes too.
-- ormis/expired/model, a set, holds the primary keys whose rules are still to be applied.
-- Out: apply_rules(m, written), see cleanup.lua. No batch may be at work: its objects are forgotten.

local KEY = require('server.keys')
local server = require('server.server')
local call, pcommand, attempt = server.call, server.pcommand, server.attempt
local extend = require('server.lists').extend
local catalog = require('model.catalog')
local read_catalog, referrers_of = catalog.read_catalog, catalog.referrers_of
local links_of, split = catalog.links_of, catalog.split
local models = require('model.models')
local merge_declarations = require('model.merge_declarations')
local apply = require('write.apply')
local deletion = require('write.deletion')
local delete, stored_referrers = deletion.delete, deletion.stored_referrers
local mutations = require('write.mutations')
local objects = require('write.objects')

local OBJECTS, REFERRERS = 50, 25

local function position_of(m, name)
  for position, column in ipairs(m.columns) do
    if column == name then return position end
  end
  m.columns[#m.columns + 1] = name
  return #m.columns
end

-- A model as the database knows it, with its referring models, under its key instead of a number of this call.
local function known_model(known, key)
  local m = mutations.opened[key]
  if m then return m end
  local declaration = known[key]
  m = {
    key = key, base = KEY.prefix .. key, columns = {declaration.pk or 'id'}, references = {}, referrers = {},
    expires = declaration.expires, links = links_of(known, key),
  }
  mutations.opened[key] = m
  merge_declarations(m, declaration.text, declaration.text, false)
  for _, reference in ipairs(declaration.references or {}) do
    local part = split(reference)
    extend(m.references, {position_of(m, part[1]), part[2]})
  end
  for _, referrer in ipairs(referrers_of(known, key)) do
    local child, action = known_model(known, referrer[1]), referrer[3]
    if action == 'protect' or action == 'restrict' then action = referrer[4] and 'set_null' or 'cascade' end
    table.insert(m.referrers, {referrer[1], position_of(child, referrer[2]), action, referrer[5], referrer[4]})
  end
  return m
end

-- Some of the keys that are stored as referring to pk; those of objects that are gone lose their entry.
local function some_referrers(child, position, pk)
  local key = models.equality_set(child, position, pk)
  if not key then return stored_referrers(child, position, pk), false end
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
  if not done and action == 'set_default' and referrer[5] then
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

-- Applies the rules of one object as far as there is room; true when nothing refers to it any more.
local function apply_rules_of(m, pk)
  if call('EXISTS', m.base .. KEY.object .. pk) == 1 then return true end
  local complete = true
  for _, referrer in ipairs(m.referrers) do
    local child = mutations.opened[referrer[1]]
    local pks, more = some_referrers(child, referrer[2], pk)
    for _, child_pk in ipairs(pks) do
      local object = objects.find(child, child_pk, {referrer[2]})
      if object and object.new[referrer[2]] == pk then act(child, child_pk, referrer) end
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
  if not known[m.key] then return end
  -- These models are those that the database knows, by their keys; those of the batch to come have numbers.
  local opened = mutations.opened
  mutations.opened, acted = {}, 0
  local own = known_model(known, m.key)
  for _, pk in ipairs(pks) do
    local fine, result = pcall(apply_rules_of, own, pk)
    if not fine then mutations.forget() end
    -- A rule refused for lack of rights is left to a caller with more; one that needs a repair is not tried again.
    local refused = not fine and type(result) == 'table' and result.refusal
    if not refused and (not fine or result) then pcommand('SREM', key, pk) end
    if refused or acted >= math.max(REFERRERS, 2 * (written or 0)) then break end
  end
  mutations.opened = opened
end

return apply_rules
