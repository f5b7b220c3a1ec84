-- The kinds of index: how an object stands in one. schema/index_kinds.py has the same kinds.
-- A kind is
--   stored     the structure that holds its entries, {add, remove, test, scan, width}: the commands on it, and how many
--              items of a scan's reply an entry has: SET or SORTED_SET
--   suffix     what its keys add to the name of the last column, a value after '=' left out
--   entry(key, text, pk, kind)   the entry of an object whose last column has this text of this kind of value: key,
--              member, and score in a sorted set; key is that of the index without the suffix; nil for none
--   entries(key, text, pk, kind)   instead, if an object has any number of entries: {key, member, score|false, ...},
--              each entry once
--   primary_key(member)   the primary key of the object that a member stands for; nil if it can't be one
--   probe(key, operator, text, kind)   if it answers the comparisons that its `lookups` in Python name: the key of the
--              set of all objects that may meet this one, and whether all of them do; nil if it can't tell
-- Out: index_kinds, {name = kind}.

local key_part = require('server.key_part')
local score = require('values.scores')

local SET = {add = 'SADD', remove = 'SREM', test = 'SISMEMBER', scan = 'SSCAN', width = 1}
local SORTED_SET = {add = 'ZADD', remove = 'ZREM', test = 'ZSCORE', scan = 'ZSCAN', width = 2}

local function whole_member(member)
  return member
end

-- The same few keys come again and again in a batch.
local made = {}

local function value_key(key, text)
  local keys = made[key]
  if not keys then
    keys = {}
    made[key] = keys
  end
  local whole = keys[text]
  if not whole then
    whole = key .. '=' .. key_part(text)
    keys[text] = whole
  end
  return whole
end

local index_kinds = {}

local function define(name, kind)
  index_kinds[name] = kind
end

-- Of each of the members of a list one entry: that of an equality index of these values.
define('members', {stored = SET, suffix = '=', primary_key = whole_member, entries = function(key, text, pk, kind)
  local list, seen = {}, {}
  require('values.inside').each_member(text, kind, function(member)
    local own = require('values.canonical')(kind, member)
    if own and not seen[own] then
      local count = #list
      seen[own], list[count + 1], list[count + 2], list[count + 3] = true, value_key(key, own), pk, false
    end
  end)
  return list
end})

define('equal', {stored = SET, suffix = '=', primary_key = whole_member, entry = function(key, text, pk)
  return value_key(key, text), pk
end})

define('sorted', {
  stored = SORTED_SET, suffix = '', primary_key = whole_member,
  entry = function(key, text, pk, kind)
    local number = score(kind, text)
    if number then return key, pk, number end
  end,
})

define('text', {
  stored = SORTED_SET, suffix = '',
  primary_key = function(member)
    return string.find(member, '\0', 1, true) and require('values.text_entries').pk_of(member) or nil
  end,
  entry = function(key, text, pk) return key, text .. '\0' .. pk, 0 end,
})

return index_kinds
