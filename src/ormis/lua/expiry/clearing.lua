-- Clears away the remains of expired objects: a hundred a call, and more of them than the call may make, so that they
-- do not pile up; up to twice as many while the call has not held the server long.
-- Only its hash says whether an object is there: while expired ones are left in the indexes, a script has to look.
-- In: KEYS[3], on a cluster.
-- Out: clear(m, written), which returns whether expired objects may be left; forget_objects(m, pks), which are gone
--      already.

local KEY = require('server.keys')
local server = require('server.server')
local call, pcommand, attempt, keep = server.call, server.pcommand, server.attempt, server.keep
local undo = require('server.undo')
local key_part = require('server.key_part')
local catalog = require('model.catalog')
local read_catalog, referrers_of, links_of = catalog.read_catalog, catalog.referrers_of, catalog.links_of
local index_kinds = require('model.index_kinds')
local models = require('model.models')
local expiring = require('expiry.expiring')
local collector = require('write.variadic')
local held_long = require('server.held_long')

local LEAST, AT_ONCE = 100, 500  -- in a call; in one batch of commands

-- The links of an object from both sides.
local function drop_links(m, ends, pk, add)
  for i = 1, #ends, 3 do
    local key = m.base .. KEY.links .. ends[i] .. '/' .. key_part(pk)
    local others = pcommand('SMEMBERS', key)
    for j = 1, #others do
      add('SREM', KEY.prefix .. ends[i + 1] .. KEY.links .. ends[i + 2] .. '/' .. key_part(others[j]), pk)
    end
    for j = 1, #others do add('SREM', key, others[j]) end
  end
end

local function drop_derived(m, row, pk, add)
  for i = 1, #m.indexes, 5 do
    local remove = index_kinds[m.indexes[i]].stored.remove
    models.each_entry(m, i, row, pk, function(key, member) add(remove, key, member) end)
  end
  for i = 1, #m.unique, 2 do
    local key, value = m.base .. KEY.unique .. m.unique[i], models.claim(m, m.unique[i + 1], row)
    if value and pcommand('HGET', key, value) == pk then add('HDEL', key, value) end
  end
end

-- A key that holds another type has no entries to remove.
local function write_where_possible(...)
  local ok, failure = pcall(undo.write, ...)
  if not ok and not (type(failure) == 'table' and failure.outcome) then error(failure, 0) end
end

-- Leaves the on_delete rules of a gone object to expired_on_delete.lua, if something may refer to it, to its primary
-- key or to its text of another field.
local function leave_rules(m, referrers, pk, texts, add)
  for _, referrer in ipairs(referrers) do
    local field = referrer[6]
    local member = not field and pk or texts[field] and field .. '\0' .. texts[field]
    if member then add('SADD', KEY.prefix .. KEY.expired .. m.key, member) end
  end
end

-- Clears the remains of gone objects.
local function forget_objects(m, pks)
  local catalog_, records, commands = read_catalog(), expiring.records(m), {}
  local add, send = collector(commands)
  local ends, at = links_of(catalog_, m.key), {}
  local referrers = referrers_of(catalog_, m.key)
  local texts = call('HMGET', records, unpack(pks))
  for position, name in ipairs(m.columns) do at[name] = position end
  for i, pk in ipairs(pks) do
    local row, kept = {}, texts[i] and cmsgpack.unpack(texts[i]) or {}
    for name, text in pairs(kept) do
      if at[name] then row[at[name]] = text end
    end
    leave_rules(m, referrers, pk, kept, add)
    if KEYS[3] then require('write.elsewhere').orphan(m.key, pk) end
    drop_derived(m, row, pk, add)
    if ends then drop_links(m, ends, pk, add) end
    add('ZREM', m.base .. KEY.ids, pk)
    add('ZREM', m.base .. KEY.expiry, pk)
    add('HDEL', records, pk)
  end
  undo.check_rights(commands)
  send(write_where_possible)
end

-- Of objects whose time has come those that are gone. Another time than the one kept is the server's to say.
local function gone_keys(m, due, at, add)
  local pks = {}
  for _, pk in ipairs(due) do
    local left = call('PTTL', m.base .. KEY.object .. pk)
    if left == -2 then
      pks[#pks + 1] = pk
    elseif left == -1 then
      add('ZREM', m.base .. KEY.expiry, pk)
      add('HDEL', expiring.records(m), pk)
    else
      add('ZADD', m.base .. KEY.expiry, at + math.max(left, 1), pk)
    end
  end
  return pks
end

local function clear_due(m, due, at)
  local commands = {}
  local add, send = collector(commands)
  local pks = gone_keys(m, due, at, add)
  undo.check_rights(commands)
  send(undo.write)
  if #pks > 0 then forget_objects(m, pks) end
end

-- That the server refuses to write is no reason not to read.
-- written: the number of objects that the call may make, nothing for a call that reads.
local function clear(m, written)
  local expiry, at, done = m.base .. KEY.expiry, expiring.now(), 0
  local least, most = math.max(LEAST, math.ceil(1.1 * (written or 0))), math.max(LEAST, 2 * (written or 0))
  call('HLEN', expiring.records(m))
  repeat
    local size = math.min((done < least and least or most) - done, AT_ONCE)
    local due = call('ZRANGEBYSCORE', expiry, '-inf', at, 'LIMIT', 0, size)
    if #due == 0 then return false end
    if not attempt(clear_due, m, due, at) then return true end
    keep()
    if #due < size then return false end
    done = done + size
  until done >= most or done >= least and held_long()
  return true
end

return {clear = clear, forget_objects = forget_objects}
