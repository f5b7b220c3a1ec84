-- Fast path of a query: what indexes alone answer. It stands before all other functions: making them costs ten times as
-- much as a count. If anything is out of the ordinary, an incomplete index, objects that expire, a number without an
-- exact score, a key of another type, too many candidates, it leaves everything to the search behind it.
-- In: KEYS[1] ormis/models, ARGV[4] the declaration of the model, and before the request, in ARGV[2], the probes of
--   access_paths.py: nil, or {model, want, rows, probe, ...}; model is its key, rows is for index_only.lua. A probe is
--   {'EXISTS', field, text}                                                      a primary key
--   {'HGET', constraint, text}                                                   a unique field
--   {'SCARD', field, text, prefix, text, ...}                                    an equality index
--   {'ZCOUNT', field, kind, low, low_open, high, high_open, prefix, text, ...}   a range of a sorted one
-- Out: reply, as query.lua describes it, a count as it is, since packing it would cost as much as
--      finding it; nil if the search has to answer.

local KEY = require('server.keys')
local key_part = require('server.key_part')

-- An end of a range as a command has it, and as a number; nil where the score is not as good as the text.
local function end_of(kind, text, open, otherwise)
  if not text then return otherwise end
  local number
  if kind == 'int' then
    number = tonumber(text)
  else
    number = require('values.scores')(kind, text)
  end
  if not number or number >= 9007199254740992 or number <= -9007199254740992 then return nil end
  return (open and '(' or '') .. string.format('%.17g', number), number
end

-- Adds to a look how many objects it allows, and either their keys or its own key and ends; false where the search has
-- to answer.
local function measured(look, base)
  local command = look[1]
  if command == 'EXISTS' or command == 'HGET' then
    local pk = look[3]
    if command == 'HGET' then
      pk = redis.pcall(command, base .. KEY.unique .. look[2], pk)
    else
      local there = redis.pcall(command, base .. KEY.object .. pk)
      if there ~= 1 then pk = there ~= 0 and there end
    end
    look.keys = pk and {pk} or {}
    look.count = #look.keys
    return type(pk) ~= 'table'
  end
  local key, range = base .. KEY.index, command == 'ZCOUNT'
  for i = range and 8 or 4, #look, 2 do key = key .. look[i] .. '=' .. key_part(look[i + 1]) .. '/' end
  key = key .. look[2]
  if range then
    look.key, look.low, look.least = key, end_of(look[3], look[4], look[5], '-inf')
    look.high, look.most = end_of(look[3], look[6], look[7], '+inf')
    look.count = look.low and look.high and redis.pcall(command, key, look.low, look.high)
  else
    look.key = key .. '=' .. key_part(look[3])
    look.count = redis.pcall(command, look.key)
  end
  return type(look.count) == 'number'
end

local reply
local _, asked = cmsgpack.unpack_one(ARGV[2])
if asked and redis.pcall('HGET', KEYS[1], asked[1]) == ARGV[4] then
  local base, best, sure = KEY.prefix .. asked[1], nil, true
  for i = 4, #asked do
    sure = sure and measured(asked[i], base)
    if sure and (not best or asked[i].count < best.count) then best = asked[i] end
  end
  if sure and asked[2] == 'count' and #asked < 5 then
    local count = best and best.count or redis.pcall('ZCARD', base .. KEY.ids)
    if type(count) == 'number' then reply = count end
  elseif sure and best then
    reply = require('read.index_only')(asked, base, best)
  end
end

return reply
