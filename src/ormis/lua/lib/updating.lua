-- What an update does before it changes columns: compares what must still hold, adds up on what is stored.
-- Out: check_unchanged(m, object, expected), add_up(m, object, sums).

-- expected: {position, text|false, ...}
local function check_unchanged(m, object, expected)
  for i = 1, #expected, 2 do
    local position, text = expected[i], expected[i + 1]
    objects.need(object, {position})
    local now = object.new[position] or false
    if now ~= text then mutations.refuse('changed', m.key, object.pk, m.columns[position], text, now) end
  end
end

-- sums: {position, kind, operator, left position, right position|0, right text, ...}, an operator of '' for what can't
-- be done here; returns the changes and the new texts.
local do_sum

local function add_up(m, object, sums)
  if not do_sum then
    --@include arithmetic
    do_sum = calculate
  end
  local changes, texts = {}, {}
  for i = 1, #sums, 6 do
    local position, left, right = sums[i], sums[i + 3], sums[i + 4]
    objects.need(object, {position, left, right > 0 and right or left})
    local a, b = object.new[left], right > 0 and object.new[right] or sums[i + 5]
    local text = a and b and do_sum(sums[i + 1], sums[i + 2], a, b)
    if not text then mutations.refuse('inexact', m.key, m.columns[position], a or false) end
    extend(changes, {position, text})
    texts[#texts + 1] = text
  end
  return changes, texts
end
