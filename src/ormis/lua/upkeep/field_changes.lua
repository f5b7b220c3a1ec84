-- The changes of a field that the server makes by itself, of the next objects. Column 2 of the model is the field;
--   {'fill', text, {kind -> true}|false}   objects without it get this text; of a polymorphic model those of these
--                                          kinds ('' where the hash names none), column 3 being that of the kind
--   {'remove'}                             its texts go
--   {'rename'}                             its texts become those of column 3, where that has none
-- Out: step(m, request, after, slower): the keys of the objects behind that place, the place of the last one, false at
--      the end, and {pk, constraint, value, holder} of those that keep what they have. slower: how much longer an
--      object takes that is in an index concerned.

local KEY = require('server.keys')
local call = require('server.call')
local changing = require('upkeep.changing')
local next_keys = require('upkeep.next_keys')

-- Functions of the key of a hash, which change it, where no index is concerned.
local plain = {}

function plain.fill(m, request)
  local name, text, kinds = m.columns[2], request.change[2], request.change[3]
  return function(key)
    if kinds and not kinds[call('HGET', key, m.columns[3]) or ''] then return end
    if call('EXISTS', key) == 1 then call('HSETNX', key, name, text) end
  end
end

function plain.remove(m)
  return function(key) call('HDEL', key, m.columns[2]) end
end

function plain.rename(m)
  return function(key)
    local text = call('HGET', key, m.columns[2])
    if text then
      call('HSETNX', key, m.columns[3], text)
      call('HDEL', key, m.columns[2])
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
  local pks, _, place = next_keys(m, after, count, call)
  if concerned then return pks, place, change_each(m, request, pks) end
  local change, start = plain[request.change[1]](m, request), m.base .. KEY.object
  for i = 1, #pks do change(start .. pks[i]) end
  return pks, place, {}
end

return step
