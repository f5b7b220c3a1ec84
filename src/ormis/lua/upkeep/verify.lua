-- One object against everything that is derived from it.
-- If expired objects may be left (m.unsure), one that is gone is no finding.
-- In: KEYS[3], on a cluster.
-- Of the request: references {position, target, field|false, nullable, whether the claims of the target have been
-- mended, ...}; build: true builds what is incomplete.
-- Out: verify_object(m, pk), its row, nil if there is none; row_at(m, pk, positions); index_name(m, i); expired(m, pk);
--      awaited(target, pk, member), whether its on_delete rules are still to be applied.

local KEY = require('server.keys')
local server = require('server.server')
local bare, call, pcommand = server.bare, server.call, server.pcommand
local index_kinds = require('model.index_kinds')
local models = require('model.models')
local nothing = require('server.lists').nothing
local expiring = require('expiry.expiring')
local findings = require('upkeep.findings')
local request, note, ask, set_aside = findings.request, findings.note, findings.ask, findings.set_aside

local SLACK = 1000  -- milliseconds
local FEW = 1000  -- objects

-- Whether an object that is gone has ended by itself and waits to be cleared away.
local function expired(m, pk)
  local expires_at = m.unsure and pcommand('ZSCORE', m.base .. KEY.expiry, pk)
  return type(expires_at) == 'string' and tonumber(expires_at) <= expiring.now()
end

-- Some columns of an object by their positions, the primary key among them; nil where there is no such object.
local function row_at(m, pk, positions)
  local names, row = {m.columns[1]}, {}
  for i = 1, #positions do names[i + 1] = m.columns[models.source(m, positions[i])] end
  local texts = pcommand('HMGET', m.base .. KEY.object .. pk, unpack(names))
  if texts.err or not texts[1] then return nil end
  row[1] = texts[1]
  for i = 1, #positions do row[models.source(m, positions[i])] = texts[i + 1] end
  return row
end

local function index_name(m, i)
  local names, prefix = {}, m.indexes[i + 4] or {}
  for j = 1, #prefix do names[j] = m.columns[prefix[j]] end
  names[#names + 1] = m.indexes[i + 2]
  return table.concat(names, ',')
end

local function verify_entry(m, i, object_key, key, member, number)
  local stored = index_kinds[m.indexes[i]].stored
  local there = ask(stored.test, key, member)
  local missing = not there or there == 0
  if missing or number and tonumber(there) ~= number then
    note(missing and 'index-missing' or 'index-stale', object_key, index_name(m, i), bare(key), function()
      if number then call(stored.add, key, number, member) else call(stored.add, key, member) end
    end)
  end
end

local function verify_indexes(m, object_key, row, pk)
  for i = 1, #m.indexes, 5 do
    if request.build or not (m.incomplete and m.incomplete[i]) then
      models.each_entry(m, i, row, pk, function(key, member, number)
        verify_entry(m, i, object_key, key, member, number)
      end)
    end
  end
end

local function is_indexed(m, position)
  for i = 1, #m.indexes, 5 do
    if not (m.incomplete and m.incomplete[i]) and models.concerned(m, i, {[position] = true}) then return true end
  end
  return false
end

-- An index is of stored texts: where one is absent that counts as the default of its field, the default is stored. An
-- index that is complete lacks it only if a client that does not know the field made the object since.
local function verify_defaults(m, object_key, row)
  for position, text in pairs(models.defaults_of(m, row)) do
    local name = m.columns[position]
    local store = function()
      call('HSET', object_key, name, text)
      row[position] = text
    end
    if not row[position] and request.build then
      store()
    elseif not row[position] and is_indexed(m, position) then
      note('index-missing', object_key, name, bare(m.base .. KEY.index .. name), store)
    end
  end
end

local function verify_claims(m, object_key, row, pk)
  for i = 1, #m.unique, 2 do
    local name, fields = m.unique[i], m.unique[i + 1]
    local value, key = models.claim(m, fields, row), m.base .. KEY.unique .. name
    if value and (request.build or not (m.incomplete and m.incomplete[name])) then
      local holder_pk = ask('HGET', key, value)
      local claim = function() call('HSET', key, value, pk) end
      if not holder_pk then
        note('unique-missing', object_key, name, value, claim)
      elseif holder_pk ~= pk then
        local other = row_at(m, holder_pk, fields)
        if other and models.claim(m, fields, other) == value then
          note('unique-duplicate', object_key, name, m.key .. ':' .. holder_pk)
        else
          note('unique-stale', object_key, name, value, claim)
        end
      end
    end
  end
end

-- Whether an object of another model has ended and its on_delete rules are still to be applied; `member`: how the set
-- of these names it, by its key if it is left out.
local function awaited(target, pk, member)
  local expires_at = pk and pcommand('ZSCORE', KEY.prefix .. target .. KEY.expiry, pk)
  if type(expires_at) == 'string' and tonumber(expires_at) <= expiring.now() then return true end
  return pcommand('SISMEMBER', KEY.prefix .. KEY.expired .. target, member or pk) == 1
end

-- Whether a foreign key, by the primary key or another field, leads to nothing and no rule is to be applied to that.
local function is_dangling(target, field, value, thorough)
  local pk = value
  if field then pk = require('write.referred')(nothing, target, field, value, thorough) end
  if pk and call('EXISTS', KEY.prefix .. target .. KEY.object .. pk) == 1 then return false end
  return not awaited(target, pk, field and field .. '\0' .. value)
end

-- A reference to nothing becomes absent where it may be. On a cluster what it leads to may be in another partition:
-- cluster/references_check.py looks there.
local function verify_references(m, object_key, row, pk)
  local references = KEYS[3] and require('server.counting').step > 1 and nothing or request.references
  for i = 1, #references, 5 do
    local position, target, field, nullable, mended = unpack(references, i, i + 4)
    local value = row[position]
    -- Claims may have been lost: few objects are looked at themselves, of many nothing is concluded.
    local thorough = value and field and not mended and call('ZCARD', KEY.prefix .. target .. KEY.ids) <= FEW
    if value and is_dangling(target, field, value, thorough) then
      nullable = nullable and (not field or mended or thorough)
      local release = function()
        require('write.clear_reference')(m, pk, position)
        row[position] = false
      end
      local named = field and target .. ' with ' .. field .. '=' or target .. ':'
      note('reference-dangling', object_key, m.columns[position], named .. value, nullable and release or nil)
    end
  end
end

-- The row of the object with this key; nil, with a finding, where there is none.
local function read_object(m, pk, key)
  local ids = m.base .. KEY.ids
  local row = pcommand('HMGET', key, unpack(m.columns))
  local unlist = function() call('ZREM', ids, pk) end
  if row.err then
    if not string.find(row.err, 'WRONGTYPE', 1, true) then error({refusal = require('server.refusal')(row.err)}, 0) end
    note('type', key, nil, pcommand('TYPE', key).ok, function()
      set_aside(key)
      unlist()
    end)
    return nil
  end
  if not row[1] and call('EXISTS', key) == 0 then
    if expired(m, pk) then return nil end
    note('object-missing', key, nil, nil, unlist)
    return nil
  end
  if row[1] ~= pk then
    note('object-key', key, m.columns[1], row[1], function() call('HSET', key, m.columns[1], pk) end)
    row[1] = pk
  end
  return row
end

-- Whether what is kept to clear the object away is what it says; of an index that is incomplete only when it is built.
local function well_kept(m, pk, row)
  local record = ask('HGET', expiring.records(m), pk)
  if not record then return false end
  local texts = cmsgpack.unpack(record)
  for _, position in ipairs(expiring.watched(m)) do
    local kept = texts[m.columns[position]]
    local needed = request.build or not (m.incomplete and next(m.incomplete))
    if (kept or needed) and kept ~= (row[position] or nil) then return false end
  end
  return true
end

-- The time that the server keeps, another tool may have set it, against the one that is kept here.
local function verify_expiry(m, object_key, row, pk)
  local left, expires_at, records = call('PTTL', object_key), nil, expiring.records(m)
  if left < 0 and not m.expires then return end
  expires_at = m.expires and ask('ZSCORE', m.base .. KEY.expiry, pk)
  if left < 0 then
    if expires_at then
      note('expiry', object_key, nil, 'is listed as ending and has no end', function()
        call('ZREM', m.base .. KEY.expiry, pk)
        call('HDEL', records, pk)
      end)
    end
    return
  end
  local right = expiring.now() + left
  if expires_at and math.abs(right - expires_at) <= SLACK and well_kept(m, pk, row) then return end
  note('expiry', object_key, nil, 'ends at a time that is not kept, or with other values than are kept', function()
    expiring.mark(m)
    call('ZADD', m.base .. KEY.expiry, right, pk)
    call('HSET', records, pk, expiring.record(m, row))
  end)
end

local function verify_object(m, pk)
  local key = m.base .. KEY.object .. pk
  local row = read_object(m, pk, key)
  if not row then return nil end
  verify_defaults(m, key, row)
  verify_indexes(m, key, row, pk)
  verify_claims(m, key, row, pk)
  verify_references(m, key, row, pk)
  verify_expiry(m, key, row, pk)
  return row
end

return {verify_object = verify_object, row_at = row_at, index_name = index_name, awaited = awaited, expired = expired}
