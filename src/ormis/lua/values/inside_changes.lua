-- Changes of values that are kept as JSON, made in their texts: what is not changed stays as it is written.
-- An operator and its operand:
--   +     a list as JSON, whose elements are added
--   -     {"kind", "texts": [text, ...]}: elements that are taken out of a list, by their texts in a column of this
--         kind; or {"keys": [key, ...]}, keys that are taken out of a dict
--   |     a dict as JSON, whose items are set
--   put   [[[step, ...], the value as JSON], ...]: parts that are set, see inside.lua; one that is not there is left to
--         the caller, unless it is one of a null
-- Out: change(operator, text, operand), the new text; nil if it is to be computed elsewhere.

local inside = require('values.inside')
local each, place_of, text_at = inside.each, inside.place_of, inside.text_at
local compare = require('values.compare').compare

local changes = {}

local function is(text, sign)
  return string.sub(text, 1, 1) == sign and string.sub(text, 1, 10) ~= '{"$ormis":'
end

changes['+'] = function(text, operand)
  if not is(text, '[') then return nil end
  if operand == '[]' then return text end
  if string.find(text, '^%[%s*%]$') then return operand end
  return string.sub(text, 1, -2) .. ',' .. string.sub(operand, 2)
end

-- The elements or items of a text, without those of which the function says so.
local function without(text, is_out)
  local kept, start = {}, 2
  each(text, 1, function(first, last, key)
    if not is_out(first, key) then kept[#kept + 1] = string.match(string.sub(text, start, last), '^[%s,]*(.*)$') end
    start = last + 1
  end)
  return string.sub(text, 1, 1) .. table.concat(kept, ',') .. string.sub(text, -1)
end

changes['-'] = function(text, operand)
  local out = cjson.decode(operand)
  if out.keys then
    local gone = {}
    for _, key in ipairs(out.keys) do gone[key] = true end
    return is(text, '{') and without(text, function(_, key) return gone[key] end) or nil
  end
  return is(text, '[') and without(text, function(first)
    local own = text_at(text, first, out.kind, false)
    for _, other in ipairs(out.texts) do
      if own == other or own and compare(out.kind, own, other) == 0 then return true end
    end
    return false
  end) or nil
end

-- The items of a dict: keys in their order; the beginning and the end of the value of each, and the key as it is
-- written.
local function items_of(text)
  local keys, values = {}, {}
  each(text, 1, function(first, last, key, raw)
    if not values[key] then keys[#keys + 1] = key end
    values[key] = {first, last, raw}
  end)
  return keys, values
end

-- The text of a dict with an item more.
local function with_item(text, key, value)
  local empty = string.find(text, '^{%s*}')
  return string.sub(text, 1, -2) .. (empty and '' or ',') .. key .. ':' .. value .. '}'
end

local function with_value(text, first, last, value)
  return string.sub(text, 1, first - 1) .. value .. string.sub(text, last + 1)
end

changes['|'] = function(text, operand)
  if not is(text, '{') then return nil end
  local keys, values = items_of(operand)
  for _, key in ipairs(keys) do
    local first, last, raw = unpack(values[key])
    local value, _, own = string.sub(operand, first, last), items_of(text)
    if own[key] then
      text = with_value(text, own[key][1], own[key][2], value)
    else
      text = with_item(text, raw, value)
    end
  end
  return text
end

function changes.put(text, operand)
  if string.sub(text, 1, 10) == '{"$ormis":' then return nil end
  for _, change in ipairs(cjson.decode(operand)) do
    local first, last, of_null = place_of(text, change[1])
    if first then text = with_value(text, first, last, change[2]) elseif not of_null then return nil end
  end
  return text
end

local function change(operator, text, operand)
  return changes[operator] and changes[operator](text, operand)
end

return change
