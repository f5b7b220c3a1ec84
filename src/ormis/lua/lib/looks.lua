--@include request
--@include scores
--@include short
--@include packing
-- The short way: what indexes alone answer. It stands before all other functions: making them costs ten times what a
-- count does. Where anything is out of the ordinary, an incomplete index, objects that end, a number without an exact
-- score, a key of another type, too many candidates, it leaves everything to the search behind it.
-- In: request.looks, as looks.py makes them, each {command, field, {field before it, number, ...}, number, ...}, where
--   numbers are those of comparisons in request.where; request.model, the beginning of the keys; request.walk, which of
--   the looks has the order that is asked for; request.names, the columns of a row, and request.at, which is the key.
-- Returns as query.lua does.

-- The numbers of the way each look allows are added to it: count, key, low and high as commands have them, least,
-- above, most and below as a score is compared with them. Returns the look that allows the fewest keys; nil where the
-- search has to answer.
local function measured()
  local base, looks, where, best = ARGV[1] .. request.model .. '/index/', request.looks, request.where, nil

  local function text(number)
    return (where[1] == 'and' and where[number + 1] or where)[5]
  end

  local function bound(look, number)
    local part = where[1] == 'and' and where[number + 1] or where
    local operator, value = part[4], score(part[3], part[5])
    if not value or value >= 9007199254740992 or value <= -9007199254740992 then return false end
    local open = operator == 'gt' or operator == 'lt'
    local shown = (open and '(' or '') .. string.format('%.17g', value)
    if operator ~= 'lt' and operator ~= 'lte' then look.low, look.least, look.above = shown, value, open end
    if operator ~= 'gt' and operator ~= 'gte' then look.high, look.most, look.below = shown, value, open end
    return true
  end

  for i = 1, #looks do
    local look, key = looks[i], base
    local prefix = look[3]
    for j = 1, #prefix, 2 do key = key .. prefix[j] .. '=' .. short(text(prefix[j + 1])) .. '/' end
    key = key .. look[2]
    if look[1] == 'SCARD' then
      look.key = key .. '=' .. short(text(look[4]))
      look.count = redis.pcall('SCARD', look.key)
    else
      look.key, look.low, look.high = key, '-inf', '+inf'
      for j = 4, #look do
        if not bound(look, look[j]) then return nil end
      end
      look.count = redis.pcall('ZCOUNT', key, look.low, look.high)
    end
    if type(look.count) ~= 'number' then return nil end
    if not best or look.count < best.count then best = look end
  end
  return best or {count = redis.pcall('ZCARD', ARGV[1] .. request.model .. '/ids')}
end

if request.looks and redis.pcall('HGET', KEYS[1], request.model) == ARGV[4] then
  local best = measured()
  if best and request.want == 'count' and #request.looks < 2 then
    if type(best.count) == 'number' then return {cmsgpack.pack({'ok', 'done', best.count})} end
  elseif best and best.key then
    --@include picking
    local answered = picked(best)
    if answered then return answered end
  end
end
