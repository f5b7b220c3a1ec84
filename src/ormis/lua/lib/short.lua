-- A value as it stands in the name of a key. Long ones, and those that could be taken for another key, by their SHA-1.
-- In: nothing. Out: short(value).

local function short(value)
  if #value > 200 or string.find(value, '/', 1, true) or string.byte(value) == 35 then
    return '#' .. redis.sha1hex(value)
  end
  return value
end
