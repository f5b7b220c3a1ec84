-- A key of another program.
-- Out: texts_of(key, most, members), its type and its texts: the fields and texts of a hash, the text of a JSON
--      document, with `members` those of a set, list or sorted set, none of all others; 'large' and the number of
--      fields for a hash of more than `most`; fingerprint(kind, texts).

local call = require('server.call')
local pcommand = redis.pcall

local function members_of(kind, key)
  if kind == 'list' then return call('LRANGE', key, 0, -1) end
  if kind == 'set' then return call('SMEMBERS', key) end
  if kind == 'zset' then return call('ZRANGE', key, 0, -1) end
  return {}
end

local function texts_of(key, most, members)
  local fields = pcommand('HLEN', key)
  if type(fields) == 'number' and fields > 0 then
    if fields > most then return 'large', {string.format('%.0f', fields)} end
    return 'hash', call('HGETALL', key)
  end
  local kind = call('TYPE', key).ok
  if kind == 'ReJSON-RL' then return 'json', {call('JSON.GET', key)} end
  return kind, members and members_of(kind, key) or {}
end

local function fingerprint(kind, texts)
  return redis.sha1hex(kind .. cmsgpack.pack(texts))
end

return {texts_of = texts_of, fingerprint = fingerprint}
