-- Parts of values that are kept as JSON, read from their texts: no number passes through a double, and nothing is made
-- of what is not asked for.
-- A part is {position of the column, kind, step, ...}, a step
--   {name, default|false, key, ...}   the value of the first of these keys that an object has; without one of them the
--                      default, as JSON
--   0, 1, ...          an element of a list, counted from 0
--   '#'                the number of elements or keys
-- A text that begins with {"$ormis": is in the form of storage/exact.py, in which {"$": type, "value": ...} stands for
-- a value of a type; fields are called by their names there.
-- Out: reader(part), a function from the text of the column to that of the part, as a column of that kind has it, nil
--      if it is absent; each_member(text, kind, visit), which calls the function with the text of each element of a
--      list until that returns true, and returns whether it did; has_key(text, key); for inside_changes.lua each(text,
--      at, visit), text_at(text, at, kind, marked), place_of(text, steps).

local find, sub, byte = string.find, string.sub, string.byte
local MARK = '{"$ormis":'
local QUOTE, OPEN, LIST = 34, 123, 91

local function skip_space(text, at)
  local _, last = find(text, '^[ \t\r\n]+', at)
  return last and last + 1 or at
end

-- The place of the quote that ends the text whose first character is at this place; nil if none does.
local function string_end(text, at)
  while true do
    local stop = find(text, '["\\]', at)
    if not stop then return nil end
    if byte(text, stop) == QUOTE then return stop end
    at = stop + 2
  end
end

-- The place of the last character of the value that begins at this place.
local function value_end(text, at)
  local first = byte(text, at)
  if first == QUOTE then return string_end(text, at + 1) end
  if first ~= OPEN and first ~= LIST then
    local _, last = find(text, '^[^,%]}%s]+', at)
    return last
  end
  local depth, place = 0, at
  while true do
    local stop = find(text, '["%[%]{}]', place)
    if not stop then return nil end
    local sign = byte(text, stop)
    if sign == QUOTE then
      stop = string_end(text, stop + 1)
      if not stop then return nil end
    elseif sign == OPEN or sign == LIST then
      depth = depth + 1
    else
      depth = depth - 1
      if depth == 0 then return stop end
    end
    place = stop + 1
  end
end

-- The text that stands between the quotes at these places; nil if it is none.
local function unquoted(text, first, last)
  local raw = sub(text, first + 1, last - 1)
  if not find(raw, '\\', 1, true) then return raw end
  local fine, list = pcall(cjson.decode, '["' .. raw .. '"]')
  return fine and list[1] or nil
end

-- Calls visit(first, last, key, key as it is written) for each value within the object or the list at this place, until
-- it returns true. Returns how many were visited.
local function each(text, at, visit)
  local object, count = byte(text, at) == OPEN, 0
  if not object and byte(text, at) ~= LIST then return 0 end
  local place = skip_space(text, at + 1)
  while place <= #text do
    local sign, key, raw = byte(text, place), nil, nil
    if sign == 125 or sign == 93 then return count end
    if object then
      local stop = string_end(text, place + 1)
      if not stop then return count end
      key, raw = unquoted(text, place, stop), sub(text, place, stop)
      place = skip_space(text, skip_space(text, stop + 1) + 1)
    end
    local last = value_end(text, place)
    if not last then return count end
    count = count + 1
    if visit(place, last, key, raw) then return count end
    place = skip_space(text, last + 1)
    if byte(text, place) == 44 then place = skip_space(text, place + 1) end
  end
  return count
end

-- The place of the value of this key in the object at this place; nil if it has none.
local function value_at(text, at, key)
  local found
  if byte(text, at) ~= OPEN then return nil end
  each(text, at, function(first, _, own)
    if own == key then found = first end
    return found ~= nil
  end)
  return found
end

-- The place of what stands for a value of a type, and whether it is a dict as a list of pairs.
local function without_type(text, at)
  local pairs_follow
  while find(text, '^{"%$":', at) do
    local type_at, inner = value_at(text, at, '$'), value_at(text, at, 'value')
    if not inner then return at end
    local label = sub(text, type_at, value_end(text, type_at))
    pairs_follow = label == '"dict"' or label == '"OrderedDict"' or label == '"Counter"'
    at = inner
  end
  return at, pairs_follow
end

-- The place of the value of a key in a dict as a list of pairs, each {key, value}.
local function value_in_pairs(text, at, key)
  local found
  each(text, at, function(first)
    local own, value
    each(text, first, function(start, last)
      if own == nil then
        own = byte(text, start) == QUOTE and unquoted(text, start, last) or false
      else
        value = start
      end
    end)
    if own == key then found = value end
    return found ~= nil
  end)
  return found
end

local function element_at(text, at, number)
  local found
  if byte(text, at) ~= LIST then return nil end
  each(text, at, function(first)
    if number == 0 then found = first end
    number = number - 1
    return found ~= nil
  end)
  return found
end

-- The place of the value that an object has by the first of the keys of a step.
local function field_at(text, at, step, marked)
  local pairs_follow
  if marked then
    at, pairs_follow = without_type(text, at)
    if pairs_follow then return value_in_pairs(text, at, step[1]) end
    return value_at(text, at, step[1])
  end
  for i = 3, #step do
    local found = value_at(text, at, step[i])
    if found then return found end
  end
end

local function is_object(text, at, marked)
  if marked then at = without_type(text, at) end
  return byte(text, at) == OPEN
end

local normal = {}

-- As a column of dates and times has it: six digits behind the point, aware ones in UTC.
function normal.datetime(text)
  return require('values.moments')(text)
end

-- The text of the value at this place, as a column of this kind has it; nil for null.
local function text_at(text, at, kind, marked)
  if marked then at = without_type(text, at) end
  local first, last = byte(text, at), value_end(text, at)
  if not last or first == 110 then return nil end
  if first == 116 then return '1' elseif first == 102 then return '0' end
  local found = sub(text, at, last)
  if first == QUOTE then found = unquoted(text, at, last) end
  if found and normal[kind] then return normal[kind](found) end
  return found
end

-- The place of the value in the text of a column, and whether the text is in the exact form.
local function start_of(text)
  if sub(text, 1, #MARK) == MARK then return #MARK + 1, true end
  return skip_space(text, 1), false
end

local function reader(part)
  local kind, count = part[2], #part
  return function(text)
    local at, marked = start_of(text)
    for i = 3, count do
      local step = part[i]
      if step == '#' then
        if marked then at = without_type(text, at) end
        local sign = byte(text, at)
        if sign ~= OPEN and sign ~= LIST then return nil end
        return tostring(each(text, at, function() end))
      elseif type(step) == 'table' then
        local found = field_at(text, at, step, marked)
        if not found and step[2] and is_object(text, at, marked) then text, found, marked = step[2], 1, false end
        at = found
      else
        if marked then at = without_type(text, at) end
        at = element_at(text, at, step)
      end
      if not at then return nil end
    end
    return text_at(text, at, kind, marked)
  end
end

local function each_member(text, kind, visit)
  local at, marked = start_of(text)
  local done = false
  if marked then at = without_type(text, at) end
  each(text, at, function(first)
    local own = text_at(text, first, kind, marked)
    done = own ~= nil and visit(own) or false
    return done
  end)
  return done
end

local function has_key(text, key)
  local at, marked = start_of(text)
  return field_at(text, at, {key, false, key}, marked) ~= nil
end

-- The beginning and the end of the value at the end of some steps, in a text that is not in the exact form; if it is
-- not there nil, nil and whether it would be within a null.
local function place_of(text, steps)
  local at = skip_space(text, 1)
  for i = 1, #steps do
    local step = steps[i]
    if byte(text, at) == 110 then return nil, nil, true end
    if type(step) == 'table' then at = field_at(text, at, step, false) else at = element_at(text, at, step) end
    if not at then return nil end
  end
  return at, value_end(text, at)
end

return {
  reader = reader, each_member = each_member, has_key = has_key, each = each, text_at = text_at, place_of = place_of,
}
