-- The structures whose parts, members or fields, scripts add and remove.
-- Out: SET, SORTED_SET, HASH, each {add, remove, read}, its commands; by_command, the structure that a command writes;
--      names_of(command, ...), the parts that a command names by its arguments after the key.

local SET = {add = 'SADD', remove = 'SREM', read = 'SMISMEMBER'}
local SORTED_SET = {add = 'ZADD', remove = 'ZREM', read = 'ZMSCORE'}
local HASH = {add = 'HSET', remove = 'HDEL', read = 'HMGET'}
local by_command = {
  SADD = SET, SREM = SET, ZADD = SORTED_SET, ZREM = SORTED_SET, HSET = HASH, HDEL = HASH,
}

local function names_of(command, ...)
  local arguments, names = {...}, {}
  if command ~= 'HSET' and command ~= 'ZADD' then return arguments end
  for i = command == 'HSET' and 1 or 2, #arguments, 2 do names[#names + 1] = arguments[i] end
  return names
end

return {SET = SET, SORTED_SET = SORTED_SET, HASH = HASH, by_command = by_command, names_of = names_of}
