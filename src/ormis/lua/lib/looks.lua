--@include short
-- The short way: what indexes alone answer. It stands before all other functions: making them costs ten times what a
-- count does. Where anything is out of the ordinary, an incomplete index, objects that end, a number without an exact
-- score, a key of another type, too many candidates, it leaves everything to the search behind it.
-- In: before the request, in ARGV[2], what plan.py makes of looks.py: nil, or {model, want, rows, look, ...}; model is
--   the beginning of the keys, rows is for picking.lua. A look is one of
--   {'EXISTS', field, text}                                                      a primary key
--   {'HGET', constraint, text}                                                   a unique field
--   {'SCARD', field, text, prefix, text, ...}                                    an equality index
--   {'ZCOUNT', field, kind, low, low_open, high, high_open, prefix, text, ...}   a stretch of a sorted one
-- Returns as query.lua does, a count as it is: to pack it would cost as much as to find it.

-- An end of a stretch as a command has it, and as a number; nil where the score is not as good as the text.
local function end_of(kind, text, open, otherwise)
  if not text then return otherwise end
  local number
  if kind == 'int' then
    number = tonumber(text)
  else
    --@include scores
    number = score(kind, text)
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
      pk = redis.pcall(command, base .. '/unique/' .. look[2], pk)
    else
      local there = redis.pcall(command, base .. ':' .. pk)
      if there ~= 1 then pk = there ~= 0 and there end
    end
    look.keys = pk and {pk} or {}
    look.count = #look.keys
    return type(pk) ~= 'table'
  end
  local key, stretch = base .. '/index/', command == 'ZCOUNT'
  for i = stretch and 8 or 4, #look, 2 do key = key .. look[i] .. '=' .. short(look[i + 1]) .. '/' end
  key = key .. look[2]
  if stretch then
    look.key, look.low, look.least = key, end_of(look[3], look[4], look[5], '-inf')
    look.high, look.most = end_of(look[3], look[6], look[7], '+inf')
    look.count = look.low and look.high and redis.pcall(command, key, look.low, look.high)
  else
    look.key = key .. '=' .. short(look[3])
    look.count = redis.pcall(command, look.key)
  end
  return type(look.count) == 'number'
end

local _, asked = cmsgpack.unpack_one(ARGV[2])
if asked and redis.pcall('HGET', KEYS[1], asked[1]) == ARGV[4] then
  local base, best, sure = ARGV[1] .. asked[1], nil, true
  for i = 4, #asked do
    sure = sure and measured(asked[i], base)
    if sure and (not best or asked[i].count < best.count) then best = asked[i] end
  end
  if sure and asked[2] == 'count' and #asked < 5 then
    local count = best and best.count or redis.pcall('ZCARD', base .. '/ids')
    if type(count) == 'number' then return count end
  elseif sure and best then
    --@include picking
    local answered = picked(best)
    if answered then return answered end
  end
end
