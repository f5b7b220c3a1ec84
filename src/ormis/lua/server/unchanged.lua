-- Whether a key is already as a command would leave it: then it does not matter that the server refuses the command.
-- Out: unchanged(command, key, ...).

local pcommand = redis.pcall

-- Each name after the key, with the value behind it or before it.
local function parts(step, name_at, arguments)
  local names, values = {}, {}
  for i = 1, #arguments, step do
    names[#names + 1] = arguments[i + name_at]
    values[#values + 1] = arguments[i + step - 1 - name_at]
  end
  return names, values
end

local READ = {
  SADD = 'SMISMEMBER', SREM = 'SMISMEMBER', ZADD = 'ZMSCORE', ZREM = 'ZMSCORE', HSET = 'HMGET', HDEL = 'HMGET',
}

local function unchanged(command, key, ...)
  if command == 'DEL' or command == 'UNLINK' then return pcommand('EXISTS', key) == 0 end
  local read, arguments = READ[command], {...}
  if not read then return false end
  local pairs_of = command == 'ZADD' or command == 'HSET'
  local names, values = parts(pairs_of and 2 or 1, command == 'ZADD' and 1 or 0, arguments)
  local found = pcommand(read, key, unpack(names))
  if found.err then return false end
  for i = 1, #names do
    local own = found[i] ~= 0 and found[i] or nil
    local fits
    if command == 'SADD' then
      fits = own
    elseif command == 'ZADD' then
      fits = own and tonumber(own) == tonumber(values[i])
    elseif command == 'HSET' then
      fits = own == values[i]
    else
      fits = not own
    end
    if not fits then return false end
  end
  return true
end

return unchanged
