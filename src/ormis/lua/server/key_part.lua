-- A value as a part of a key. Long values, and those that could be taken for another key, are replaced by their SHA-1.
-- Out: key_part(value).

local function key_part(value)
  if #value > 200 or string.find(value, '/', 1, true) or string.byte(value) == 35 then
    return '#' .. redis.sha1hex(value)
  end
  return value
end

return key_part
