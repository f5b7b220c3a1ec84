-- When objects expire. The server removes the hash by itself; what is needed to clear away the rest stands in
--   model/expiry            sorted set: milliseconds since 1970 -> primary key
--   ormis/expiring/model    hash: primary key -> the expiry record, the texts its index entries and claims are made of
-- A model that has such objects says so in its declaration, "expires": true; the others pay nothing.
-- In: KEYS[1] ormis/models.
-- Out: now(); records(m), the key of that hash; watched(m), the columns of a record; record(m, row); mark(m),
--      which says of a model that its objects may expire.

local KEY = require('server.keys')
local call, pcommand = require('server.call'), redis.pcall
local source = require('model.models').source

local function now()
  local time = pcommand('TIME')
  if time.err then error({refusal = require('server.refusal')(time.err)}, 0) end
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function records(m)
  return KEY.prefix .. KEY.expiring .. m.key
end

-- The columns that index entries and claims are made of: positions, and the same as a set.
local function watched(m)
  if not m.watched then
    local list, set = {}, {}
    local function add(position)
      position = source(m, position)
      if not set[position] then
        set[position] = true
        list[#list + 1] = position
      end
    end
    for i = 1, #m.indexes, 5 do
      add(m.indexes[i + 3])
      for _, position in ipairs(m.indexes[i + 4] or {}) do add(position) end
    end
    for i = 2, #m.unique, 2 do
      for _, position in ipairs(m.unique[i]) do add(position) end
    end
    m.watched = {list, set}
  end
  return m.watched[1], m.watched[2]
end

local function record(m, row)
  local texts = {}
  for _, position in ipairs(watched(m)) do texts[m.columns[position]] = row[position] or nil end
  return cmsgpack.pack(texts)
end

-- Objects of the model may end from now on.
local function mark(m)
  if m.expires then return end
  local stored = cjson.decode(call('HGET', KEYS[1], m.key))
  stored.expires = true
  require('server.undo').write('HSET', KEYS[1], m.key, cjson.encode(stored))
  m.expires = true
end

return {now = now, records = records, watched = watched, record = record, mark = mark}
