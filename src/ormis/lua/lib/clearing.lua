--@include expiring
--@include known
--@include gather
-- Clears away what expired objects leave behind, a hundred a call.
-- Whether an object is there its hash alone says: while expired ones are left in the indexes, a script has to look.
-- Out: clear(m), which says whether expired objects may be left; forget_objects(m, pks), which are gone already.

local AT_ONCE = 100

-- The links of an object from both sides.
local function drop_links(m, ends, pk)
  for i = 1, #ends, 3 do
    local key = m.base .. '/links/' .. ends[i] .. '/' .. short(pk)
    local others = pcommand('SMEMBERS', key)
    for j = 1, #others do
      gather('SREM', tag .. ends[i + 1] .. '/links/' .. ends[i + 2] .. '/' .. short(others[j]), pk)
    end
    if #others > 0 then pcommand('UNLINK', key) end
  end
end

local function drop_derived(m, row, pk)
  for i = 1, #m.indexes, 5 do
    local key, member, number = models.entry(m, i, row, pk)
    if key then gather(number and 'ZREM' or 'SREM', key, member) end
  end
  for i = 1, #m.unique, 2 do
    local key, value = m.base .. '/unique/' .. m.unique[i], models.claim(m.unique[i + 1], row)
    if value and pcommand('HGET', key, value) == pk then gather('HDEL', key, value) end
  end
end

-- What objects that are gone leave behind. Their on_delete rules are left to settling.lua, where something may refer to
-- them. False where the server can't write.
local function forget_objects(m, pks)
  local known, book = known_models(), expiring.book(m)
  local ends, at = links_of(known, m.key), {}
  if #referrers_of(known, m.key) > 0 and
    type(pcommand('SADD', tag .. 'ormis/expired/' .. m.key, unpack(pks))) == 'table' then return false end
  local records = call('HMGET', book, unpack(pks))
  for position, name in ipairs(m.columns) do at[name] = position end
  for i, pk in ipairs(pks) do
    local row = {}
    for name, text in pairs(records[i] and cmsgpack.unpack(records[i]) or {}) do
      if at[name] then row[at[name]] = text end
    end
    drop_derived(m, row, pk)
    if ends then drop_links(m, ends, pk) end
    gather('ZREM', m.base .. '/ids', pk)
    gather('ZREM', m.base .. '/expiry', pk)
    gather('HDEL', book, pk)
  end
  send(pcommand)
  return true
end

-- Of objects whose time has come those that are gone. Another time than the one kept is the server's to say.
local function gone_keys(m, due, at)
  local pks = {}
  for _, pk in ipairs(due) do
    local left = call('PTTL', m.base .. ':' .. pk)
    if left == -2 then
      pks[#pks + 1] = pk
    elseif left == -1 then
      gather('ZREM', m.base .. '/expiry', pk)
      gather('HDEL', expiring.book(m), pk)
    else
      gather('ZADD', m.base .. '/expiry', at + math.max(left, 1), pk)
    end
  end
  return pks
end

local function clear(m)
  local expiry, at = m.base .. '/expiry', expiring.now()
  call('HLEN', expiring.book(m))
  local due = call('ZRANGEBYSCORE', expiry, '-inf', at, 'LIMIT', 0, AT_ONCE)
  if #due == 0 then return false end
  if type(pcommand('ZREM', expiry, '')) == 'table' then return true end
  local pks = gone_keys(m, due, at)
  if #pks > 0 then
    if not forget_objects(m, pks) then return true end
  else
    send(pcommand)
  end
  return #due == AT_ONCE
end
