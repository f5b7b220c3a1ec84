-- The first half of an update: compares conditions with the stored values, computes new values from them.
-- Out: check_unchanged(m, object, expected), apply_arithmetic(m, object, sums).

local extend = require('server.lists').extend
local models = require('model.models')
local mutations = require('write.mutations')
local objects = require('write.objects')

-- The text of an object that is stored, or that its absence counts as.
local function stored(object, position)
  local m, text = object.m, object.new[position]
  if text then return text end
  if m.kinds then objects.need(object, {m.kinds[1]}) end
  return models.defaults_of(m, object.new)[position] or false
end

-- expected: {position, text|false, ...}
local function check_unchanged(m, object, expected)
  for i = 1, #expected, 2 do
    local position, text = expected[i], expected[i + 1]
    objects.need(object, {position})
    local now = object.new[position] or false
    if now ~= text and stored(object, position) ~= text then
      mutations.refuse('changed', m.key, object.pk, m.columns[position], text, now)
    end
  end
end

-- sums: {position, kind, operator, left position, right position|0, right text, bounds, ...}; bounds: {'ge'|'gt'|'le'|
-- 'lt', text, ...}, of JSON {'absent'} if it may be; an operator of '' for what can't be done here, the right text is
-- {position, ...} then, what that is computed from.
local SUM = 7

-- The columns that sums read, and those that they write.
local function positions_of(sums)
  local positions = {}
  for i = 1, #sums, SUM do
    extend(positions, {sums[i], sums[i + 3]})
    if sums[i + 4] > 0 then positions[#positions + 1] = sums[i + 4] end
    if sums[i + 2] == '' then extend(positions, sums[i + 5]) end
  end
  return positions
end

-- The text of one sum; nil where it can't be done here or is out of bounds; false for a change of JSON that is absent,
-- where bounds say that it may be.
local function result_of(object, sums, i)
  local kind, operator, right, bounds = sums[i + 1], sums[i + 2], sums[i + 4], sums[i + 6]
  local a, b = stored(object, sums[i + 3]), right > 0 and stored(object, right) or sums[i + 5]
  if kind == 'json' and operator ~= '' and not a and bounds[1] then return false end
  local text = operator ~= '' and a and b and require('values.arithmetic')(kind, operator, a, b)
  if not text or #bounds == 0 or kind == 'json' then return text or nil end
  return require('values.bounds')(kind, text, bounds) and text or nil
end

-- What must be known to do elsewhere the sums that can't be done here: of this mutation and of those behind it, of each
-- object the first, {number, position, text|false, ...}.
local function operands()
  local found, seen, batch = {}, {}, mutations.batch or {}
  for number = mutations.current, #batch do
    local code, model, pk, _, _, sums = unpack(batch[number], 1, 6)
    local summed = (code == 'update' or code == 'amend') and sums and #sums > 0
    local positions = summed and positions_of(sums)
    local object = summed and objects.find(mutations.model(model), pk, positions)
    if object and not seen[object] then
      local all, own = true, {number}
      for i = 1, #sums, SUM do all = all and result_of(object, sums, i) ~= nil end
      for _, position in ipairs(positions) do extend(own, {position, stored(object, position)}) end
      if not all then found[#found + 1] = own end
      seen[object] = true
    end
  end
  return found
end

-- Returns the changes and the new texts.
local function apply_arithmetic(m, object, sums)
  local changes, texts = {}, {}
  objects.need(object, positions_of(sums))
  for i = 1, #sums, SUM do
    local text = result_of(object, sums, i)
    if text == nil then mutations.refuse('inexact', m.key, operands()) end
    extend(changes, {sums[i], text})
    texts[#texts + 1] = text
  end
  return changes, texts
end

return {check_unchanged = check_unchanged, apply_arithmetic = apply_arithmetic}
