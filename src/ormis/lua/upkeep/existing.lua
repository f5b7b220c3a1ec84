-- A key of another program.
-- Out: texts_of(key, most, members), a list of its type and texts: the fields and texts of a hash, the text of a JSON
--      document, with `members` those of a set, list or sorted set; ('large', count) for a hash of more than `most`
--      fields, the type alone for all others; fingerprint(texts).

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
    if fields > most then return {'large', string.format('%.0f', fields)} end
    local texts = call('HGETALL', key)
    for i = #texts, 1, -1 do texts[i + 1] = texts[i] end
    texts[1] = 'hash'
    return texts
  end
  local kind = call('TYPE', key).ok
  if kind == 'ReJSON-RL' then return {'json', call('JSON.GET', key)} end
  local texts = {kind}
  if members then
    for i, text in ipairs(members_of(kind, key)) do texts[i + 1] = text end
  end
  return texts
end

local function fingerprint(texts)
  return redis.sha1hex(cmsgpack.pack(texts))
end

return {texts_of = texts_of, fingerprint = fingerprint}
