-- The changes of a field that the server makes by itself, of the next objects. Column 2 of the model is the field;
--   {'fill', text, {kind -> true}|false}   objects without it get this text; of a polymorphic model those of these
--                                          kinds ('' where the hash names none), column 3 being that of the kind
--   {'remove'}                             its texts go
--   {'rename'}                             its texts become those of column 3, where that has none
-- Out: step(m, request, after, slower): the keys of the objects behind that place, the place of the last one, false at
--      the end, and {pk, constraint, value, holder} of those that keep what they have. slower: how much longer an
--      object takes that is in an index concerned.

local KEY = require('server.keys')
local call, pcommand = require('server.call'), redis.pcall
local changing = require('upkeep.changing')
local pks_behind = require('upkeep.next_keys').pks_behind

local CHUNK = 4000  -- keys of one command

-- Changes of the hashes with these keys, where no index is concerned.
local plain = {}

-- Whether there is a hash at each of these keys; one command for all.
local function all_exist(keys)
  for first = 1, #keys, CHUNK do
    local last = math.min(first + CHUNK - 1, #keys)
    if call('EXISTS', unpack(keys, first, last)) ~= last - first + 1 then return false end
  end
  return true
end

function plain.fill(m, request, keys)
  local name, text, kinds = m.columns[2], request.change[2], request.change[3]
  if kinds or not all_exist(keys) then
    local meant = {}
    for _, key in ipairs(keys) do
      if call('EXISTS', key) == 1 and not (kinds and not kinds[call('HGET', key, m.columns[3]) or '']) then
        meant[#meant + 1] = key
      end
    end
    keys = meant
  end
  for i = 1, #keys do
    local reply = pcommand('HSETNX', keys[i], name, text)
    if type(reply) == 'table' then require('server.failure').refuse(reply.err, keys[i]) end
  end
end

function plain.remove(m, _, keys)
  for i = 1, #keys do call('HDEL', keys[i], m.columns[2]) end
end

function plain.rename(m, _, keys)
  for i = 1, #keys do
    local text = call('HGET', keys[i], m.columns[2])
    if text then
      call('HSETNX', keys[i], m.columns[3], text)
      call('HDEL', keys[i], m.columns[2])
    end
  end
end

-- Functions of the texts of a hash, which return its changes: position, text|false, ...; nothing for none.
local changes = {}

function changes.fill(texts, request)
  local text, kinds = request.change[2], request.change[3]
  if texts[2] or kinds and not kinds[texts[3] or ''] then return end
  return {2, text}
end

function changes.remove(texts)
  return texts[2] and {2, false}
end

function changes.rename(texts)
  if not texts[2] then return end
  return texts[3] and {2, false} or {3, texts[2], 2, false}
end

local function change_each(m, request, pks)
  local refused, names = {}, {unpack(m.columns, 1, request.width)}
  for _, pk in ipairs(pks) do
    local texts = call('HMGET', m.base .. KEY.object .. pk, unpack(names))
    local own = texts[1] and changes[request.change[1]](texts, request)
    if own then
      local name, value, holder = changing.change(m, pk, own)
      if name then refused[#refused + 1] = {pk, name, value, holder} end
    end
  end
  changing.write(m)
  return refused
end

local function step(m, request, after, slower)
  local concerned = changing.concerned(m, 2, request.width)
  local count = concerned and math.max(1, math.floor(request.count / slower)) or request.count
  local pks, place = pks_behind(m, after, count)
  if concerned then return pks, place, change_each(m, request, pks) end
  local start, keys = m.base .. KEY.object, {}
  for i = 1, #pks do keys[i] = start .. pks[i] end
  plain[request.change[1]](m, request, keys)
  return pks, place, {}
end

return step
