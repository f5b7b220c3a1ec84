-- One step of a walk through all that is stored of a model: compares it with the hashes, the truth, and mends.
-- A step finds and mends in the same atomic call, whatever clients write between
-- the steps.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the request; ARGV[3], ARGV[4] shape and declaration of the model
-- The request: {repair, build, references, width = number of the model's columns the caller wants the texts of, and
--   after, count                   the next objects in the order of creation, or
--   keys, cursor, budget           keys of the model; the cursor within the first of them; of the entries in the
--                                  indexes `budget` are looked at in one step; whole: the relations whose links are
--                                  in one partition of a cluster, both halves
--   bytes                          fewer objects, or entries, if their texts have more bytes together
--   progress}                      with after: keep in ormis/reindex how far a reindexing is, see reindex.lua
-- Returns {answer} or {answer, packed rows}; the answer is one of
--   {'ok', findings, place, count}         place of the last object looked at, false at the end; how many there were
--   {'ok', findings, done, cursor, count}  how many keys are done; the cursor within the next; entries looked at
--   {'ok', 'again'}                        the reindexing is not what it was: begin anew
-- A finding is {kind, key, field|false, detail|false, mended}; reports.py says what each kind means.

local server = require('server.server')
local call, pcommand, answer = server.call, server.pcommand, server.answer
local KEY = require('server.keys')
local key_part = require('server.key_part')
local extend = require('server.lists').extend
local index_kinds = require('model.index_kinds')
local models = require('model.models')
local expiring = require('expiry.expiring')
local findings = require('upkeep.findings')
local request, found, note = findings.request, findings.found, findings.note
local ask, set_aside = findings.ask, findings.set_aside
local with_places = require('upkeep.next_keys').with_places
local verify = require('upkeep.verify')
local verify_object, row_at, index_name = verify.verify_object, verify.row_at, verify.index_name
local awaited, expired = verify.awaited, verify.expired

local m

-- Objects in the order of creation ------------------------------------------------------------------------------------

-- How many bytes of texts this step has looked at.
local read = 0

local function add_bytes(texts)
  for _, text in pairs(texts) do read = read + #(text or '') end
end

local function verify_counter(pks)
  local key = m.base .. KEY.next_id
  local last = ask('GET', key)
  if last == nil or type(last) == 'string' and not string.find(last, '^%d+$') then
    if last then note('next-id', key, nil, last, function() call('SET', key, '0') end) end
    last = '0'
  end
  last = last or require('server.counting').first
  local highest, above = last, require('write.next_id').above
  for i = 1, #pks do
    if string.find(pks[i], '^%d+$') and above(pks[i], highest) then highest = pks[i] end
  end
  if highest ~= last then note('next-id', key, nil, last, function() call('SET', key, highest) end) end
end

local function pack_row(row, width)
  local head = width < 16 and string.char(0x90 + width) or string.char(0xdc, math.floor(width / 256), width % 256)
  for position = 1, width do row[position] = row[position] or nil end
  return head .. cmsgpack.pack(unpack(row, 1, width))
end

local function walk_objects()
  local pks, places, place = with_places(m, request.after, request.count, ask)
  local rows, count = {}, 0
  for i = 1, #pks do
    local row = verify_object(m, pks[i])
    if row or not expired(m, pks[i]) then count = count + 1 end
    if row then
      add_bytes(row)
      if request.width > 0 then rows[#rows + 1] = pack_row(row, request.width) end
    end
    if read > request.bytes and pks[i + 1] and places[i + 1] ~= places[i] then
      pks, place = {unpack(pks, 1, i)}, places[i]
      break
    end
  end
  if m.auto and #pks > 0 then verify_counter(pks) end
  local packed = '\221' .. struct.pack('>I4', #rows) .. table.concat(rows)
  return {cmsgpack.pack({'ok', found, place, count}), packed}
end

-- Keys of the model ---------------------------------------------------------------------------------------------------

local entries = 0
local LONG = 25  -- entries that may hold texts of any length, read at once

-- An object that the order of creation lacks.
local function adopt_object(key, pk)
  note('object-unlisted', key, nil, nil, function()
    local ids = m.base .. KEY.ids
    local last = tonumber(call('ZRANGE', ids, -1, -1, 'WITHSCORES')[2] or 0)
    local own = m.auto and string.find(pk, '^%d+$') and #pk <= 15 and tonumber(pk)
    call('ZADD', ids, own or last + 1, pk)
  end)
  if m.auto then verify_counter({pk}) end
  verify_object(m, pk)
end

local function look_at_object(key, pk)
  if ask('ZSCORE', m.base .. KEY.ids, pk) then return end
  local own = pcommand('HGET', key, m.columns[1])
  if own == pk then return adopt_object(key, pk) end
  if type(own) == 'table' then return ask('HLEN', key) end
  if call('EXISTS', key) == 1 then note('key-leaked', key, nil, nil, function() set_aside(key) end) end
end

-- The slots of the indexes by the form of their keys: 'name=' or 'name=/other=/last'.
local function slots_by_form()
  local forms = {}
  for i = 1, #m.indexes, 5 do
    local prefix, form = m.indexes[i + 4] or {}, ''
    for j = 1, #prefix do form = form .. m.columns[prefix[j]] .. '=/' end
    form = form .. m.indexes[i + 2] .. index_kinds[m.indexes[i]].suffix
    forms[form] = forms[form] or {}
    table.insert(forms[form], i)
  end
  return forms
end

local function form_of(name)
  local parts = {}
  for part in string.gmatch(name .. '/', '([^/]*)/') do
    local at = string.find(part, '=', 1, true)
    parts[#parts + 1] = at and string.sub(part, 1, at) or part
  end
  return table.concat(parts, '/')
end

-- The row of an object with the columns of these slots.
local function indexed_row(slots, pk)
  local positions = {}
  for _, i in ipairs(slots) do
    extend(positions, m.indexes[i + 4] or {})
    positions[#positions + 1] = m.indexes[i + 3]
  end
  return row_at(m, pk, positions)
end

-- Whether a member of an index's key belongs there; otherwise the kind of fault and the right score.
local function judge_entry(slots, key, member, number)
  local pk = index_kinds[m.indexes[slots[1]]].primary_key(member)
  local row = pk and indexed_row(slots, pk)
  if not row then return not (pk and expired(m, pk)) and 'index-extra' end
  local right, fine
  for _, i in ipairs(slots) do
    models.each_entry(m, i, row, pk, function(own_key, own_member, own_number)
      if own_key == key and own_member == member then
        fine = fine or own_number == number
        right = own_number
      end
    end)
  end
  if not fine then return 'index-stale', right end
end

local function look_at_entries(key, slots, cursor)
  local stored = index_kinds[m.indexes[slots[1]]].stored
  local reply = ask(stored.scan, key, cursor, 'COUNT', math.min(request.budget, LONG))
  if not reply then return '0' end
  local members, width, name = reply[2], stored.width, index_name(m, slots[1])
  add_bytes(members)
  for at = 1, #members, width do
    local member = members[at]
    local kind, right = judge_entry(slots, key, member, width == 2 and tonumber(members[at + 1]) or nil)
    if kind then
      note(kind, key, name, member, function()
        if right then return call(stored.add, key, right, member) end
        call(stored.remove, key, member)
      end)
    end
  end
  entries = entries + #members / width
  return reply[1]
end

local function look_at_claims(key, name, fields, cursor)
  local reply = ask('HSCAN', key, cursor, 'COUNT', math.min(request.budget, LONG))
  if not reply then return '0' end
  local claims = reply[2]
  add_bytes(claims)
  for at = 1, #claims, 2 do
    local value, pk = claims[at], claims[at + 1]
    local row = row_at(m, pk, fields)
    if not row and not expired(m, pk) or row and models.claim(m, fields, row) ~= value then
      note(row and 'unique-stale' or 'unique-extra', key, name, value, function() call('HDEL', key, value) end)
    end
  end
  entries = entries + #claims / 2
  return reply[1]
end

-- Checks the expiry records: none may be left of objects deleted before their time or without a time to live.
local function look_at_expiry(key, cursor)
  local reply = ask('ZSCAN', key, cursor, 'COUNT', request.budget)
  if not reply then return '0' end
  for at = 1, #reply[2], 2 do
    local pk, expires_at = reply[2][at], tonumber(reply[2][at + 1])
    if expires_at > expiring.now() and call('EXISTS', m.base .. KEY.object .. pk) == 0 then
      note('expiry', m.base .. KEY.object .. pk, nil, 'was to end later and is gone', function()
        require('expiry.clearing').forget_objects(m, {pk})
      end)
    end
  end
  entries = entries + #reply[2] / 2
  return reply[1]
end

local function look_at_records(key, cursor)
  local reply = ask('HSCAN', key, cursor, 'COUNT', request.budget)
  if not reply then return '0' end
  for at = 1, #reply[2], 2 do
    local pk = reply[2][at]
    if not ask('ZSCORE', m.base .. KEY.expiry, pk) then
      note('expiry', m.base .. KEY.object .. pk, nil, 'does not end, and something is kept to clear it away', function()
        call('HDEL', key, pk)
      end)
    end
  end
  return reply[1]
end

local function fields_of(name)
  for i = 1, #m.unique, 2 do
    if m.unique[i] == name then return m.unique[i + 1] end
  end
end

local link_ends

-- The relation of a set of links: its name, the key of the other model, its name there; nil if there is none.
local function end_of(name)
  local catalog = require('model.catalog')
  local read_catalog, links_of = catalog.read_catalog, catalog.links_of
  link_ends = link_ends or links_of(read_catalog(), m.key) or {}
  for i = 1, #link_ends, 3 do
    if link_ends[i] == name then return link_ends[i + 1], link_ends[i + 2] end
  end
end

-- Links to what is not there go; one that the other side lacks is added there. An owner whose key stands as its SHA-1
-- is not known.
local function look_at_links(key, cursor, name, owner)
  local target, there = end_of(name)
  local reply = ask('SSCAN', key, cursor, 'COUNT', request.budget)
  if not reply then return '0' end
  local known_owner = string.byte(owner) ~= 35
  local there_is_none = known_owner and call('EXISTS', m.base .. KEY.object .. owner) == 0
  if there_is_none and awaited(m.key, owner) then return reply[1] end
  -- On a cluster the other halves may be elsewhere: cluster/links_check.py compares them.
  local is_whole = require('server.counting').step == 1
  for _, one in ipairs(request.whole) do is_whole = is_whole or one == name end
  if not is_whole and not there_is_none then return reply[1] end
  for _, member in ipairs(reply[2]) do
    local back = KEY.prefix .. target .. KEY.links .. there .. '/' .. key_part(member)
    local gone_there = call('EXISTS', KEY.prefix .. target .. KEY.object .. member) == 0
    if there_is_none or gone_there and not awaited(target, member) then
      note('link-extra', key, name, member, function() call('SREM', key, member) end)
    elseif known_owner and not gone_there and ask('SISMEMBER', back, owner) ~= 1 then
      note('link-missing', back, there, owner, function() call('SADD', back, owner) end)
    end
  end
  entries = entries + #reply[2]
  return reply[1]
end

local function drop(key)
  if call('EXISTS', key) == 1 then note('key-leaked', key, nil, nil, function() call('UNLINK', key) end) end
end

-- Whether the entries of these slots are wanted: when building, those of what is incomplete.
local function is_wanted(slots)
  if not request.build then return true end
  for _, i in ipairs(slots) do
    if m.incomplete and m.incomplete[i] then return true end
  end
  return false
end

local known_keys = {[KEY.ids] = true, [KEY.next_id] = true}

-- One key; returns the cursor within it, '0' when it is done.
local function look_at_key(key, forms, cursor)
  local rest = string.sub(key, #m.base + 1)
  if string.sub(rest, 1, 1) == KEY.object then
    look_at_object(key, string.sub(rest, 2))
    return '0'
  end
  if key == expiring.records(m) then return look_at_records(key, cursor) end
  if rest == KEY.expiry then return look_at_expiry(key, cursor) end
  local part, name = string.match(rest, '^/(%l+)/(.*)$')
  if part == 'index' then
    local slots = forms[form_of(name)]
    if slots then return is_wanted(slots) and look_at_entries(key, slots, cursor) or '0' end
    drop(key)
  elseif part == 'unique' then
    local fields = fields_of(name)
    if fields then return request.build and '0' or look_at_claims(key, name, fields, cursor) end
    drop(key)
  elseif part == 'links' and end_of(string.match(name, '^([^/]*)/')) then
    return look_at_links(key, cursor, string.match(name, '^([^/]*)/(.*)$'))
  elseif not known_keys[rest] and call('EXISTS', key) == 1 then
    note('key-leaked', key, nil, nil, function() set_aside(key) end)
  end
  return '0'
end

local function walk_keys()
  local forms, keys, cursor, done, spent = slots_by_form(), request.keys, request.cursor, 0, 0
  while done < #keys and spent < request.budget and read <= request.bytes do
    cursor = look_at_key(KEY.prefix .. keys[done + 1], forms, cursor)
    if cursor == '0' then done = done + 1 end
    spent = entries + done / 4
  end
  return {cmsgpack.pack({'ok', found, done, cursor, entries})}
end

-- Whether what is stored of the declaration can be read; a repair takes away what can't, and a reindexing builds anew.
local function is_declared()
  local key = cmsgpack.unpack(ARGV[3]).key
  local text = call('HGET', KEYS[1], key)
  local fine, stored = pcall(cjson.decode, text or '{"indexes":{},"unique":{}}')
  if fine and type(stored) == 'table' and stored.indexes and stored.unique then return true end
  note('type', KEYS[1], key, 'text that is no declaration', function() call('HDEL', KEYS[1], key) end)
  return request.repair
end

-- Whether the call may change anything; one that only looks is sent as a reading.
local function writes()
  return request.repair or request.build or request.progress
end

local function step()
  -- A wrong type at the key of the list of keys would make every other step fail.
  local listed = ask('ZCARD', KEY.prefix .. cmsgpack.unpack(ARGV[3]).key .. KEY.ids)
  if not listed and request.keys then return {cmsgpack.pack({'ok', found, #request.keys, '0', 0})} end
  if not listed then return {cmsgpack.pack({'ok', found, false, 0}), '\144'} end
  if not is_declared() then
    if request.keys then return {cmsgpack.pack({'ok', found, #request.keys, '0', 0})} end
    return {cmsgpack.pack({'ok', found, false, 0}), '\144'}
  end
  m = models.open(ARGV[3], ARGV[4], request.repair)
  if m.expires and ask('ZCARD', m.base .. KEY.expiry) and ask('HLEN', expiring.records(m)) then
    m.unsure = not writes() or require('expiry.cleanup')(m)
  end
  if request.keys then return walk_keys() end
  if request.progress then
    local progress = require('upkeep.progress')
    if not progress.holds(m.key, request.progress) then return {cmsgpack.pack({'ok', 'again'})} end
    local reply = walk_objects()
    progress.note(m.key, request.progress, cmsgpack.unpack(reply[1])[3], found)
    return reply
  end
  return walk_objects()
end

local done, result = pcall(step)
if done then return result end
return answer(function() error(result, 0) end)
