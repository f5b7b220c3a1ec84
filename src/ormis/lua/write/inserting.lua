-- New objects: their keys, their places in the order of creation, their conflicts.
-- Out: insert(m, count, texts, when), which returns the keys, false for an object that is left out.

local call = require('server.call')
local KEY = require('server.keys')
local extend = require('server.lists').extend
local mutations = require('write.mutations')
local next_id = require('write.next_id')
local above, successor, step, EXACT = next_id.above, next_id.successor, next_id.step, next_id.EXACT
local objects = require('write.objects')

-- A place after every other. A key given by hand below the last one counted goes before the next one to be counted.
local function next_in_order(m)
  local last = m.last_in_order or tonumber(call('ZRANGE', m.base .. KEY.ids, -1, -1, 'WITHSCORES')[2] or 0)
  if m.auto and #m.last_id <= EXACT then return math.max(last, tonumber(m.last_id)) + 2 ^ -20 end
  return last + 1
end

-- The key of a new object, where it has none counted up above every key used so far, and its place in the order of
-- creation; a counted key is its own place. On a cluster any key is: so the keys of all partitions have one order.
local function key_and_order(m, pk)
  if m.auto then
    if not m.last_id then m.last_id, m.stored_id = next_id.last(m.key) end
    if not pk or above(pk, m.last_id) then
      pk = pk or successor(m.last_id, step)
      m.last_id, m.counted = pk, true
      if #pk <= EXACT then
        m.last_in_order = pk + 0
        return pk, m.last_in_order
      end
    elseif step > 1 and #pk <= EXACT then
      return pk, pk + 0
    end
  end
  m.last_in_order = next_in_order(m)
  return pk, m.last_in_order
end

-- The conflict of a row: the name of the constraint, the value, the key of the other object. A constraint of `on`, by
-- which the other object is updated, comes before all others.
local function obstacle(m, row, on)
  local pk = row[1]
  if on and not on[m.columns[1]] then
    local unique, value, other = mutations.conflict(m, row, nil, nil, on)
    if unique then return unique, value, other end
  end
  if pk and objects.known(m.base .. KEY.object .. pk) then return m.columns[1], pk, pk end
  return mutations.conflict(m, row, pk)
end

local function change_instead(m, row, positions, pk)
  local changes = {}
  for _, position in ipairs(positions) do extend(changes, {position, row[position] or false}) end
  mutations.change(m, pk, changes)
  return pk
end

-- Keys that were counted are new, unless something else than ormis wrote there: one command asks for all of them.
local function check_counted(m, keys)
  for first = 1, #keys, 1000 do
    local last = math.min(first + 999, #keys)
    if call('EXISTS', unpack(keys, first, last)) > 0 then
      for i = first, last do
        local pk = string.sub(keys[i], #m.base + 2)
        if call('EXISTS', keys[i]) == 1 then mutations.refuse('unique', m.key, m.columns[1], pk, pk) end
      end
    end
  end
end

local function insert(m, count, texts, when)
  local pks, counted, base, on = {}, {}, m.base .. KEY.object, type(when) == 'table' and when.on
  local constrained, referring = #m.unique > 0, #m.references > 0
  local width = #m.columns
  for i = 1, count do
    local row = {unpack(texts, (i - 1) * width + 1, i * width)}
    local pk = row[1]
    local unique, value, other
    if pk or constrained then unique, value, other = obstacle(m, row, on) end
    if unique and type(when) ~= 'string' and not (on and on[unique]) then
      mutations.refuse('unique', m.key, unique, value, other)
    end
    if unique then
      pks[i] = on and change_instead(m, row, when.positions, other)
    else
      if referring and when ~= 'copy' then mutations.check_references(m, row) end
      local new_pk, creation_order = key_and_order(m, pk or nil)
      row[1], pks[i] = new_pk, new_pk
      if constrained then mutations.reclaim(m, nil, row, new_pk) end
      local key = base .. new_pk
      if pk and m.expires and call('ZSCORE', m.base .. KEY.expiry, pk) and not objects.by_key[key] then
        require('expiry.clearing').forget_objects(m, {pk})
      end
      if not pk then counted[#counted + 1] = key end
      objects.put(m, new_pk, key, row, creation_order)
    end
  end
  check_counted(m, counted)
  return pks
end

return insert
