--@include request
--@include scores
--@include short
-- A count that one command answers. It stands before all other functions: making them costs ten times what it costs.
-- Where anything is out of the ordinary, an incomplete index, objects that end, a number without an exact score,
-- the search below answers.
-- In: request.glance, {model, command, ...} as glance.py makes it:
--   {model, 'ZCARD'}                                                   all objects
--   {model, 'SCARD', field, text, prefix, text, ...}                   those with this text
--   {model, 'ZCOUNT', field, kind, low, low_open, high, high_open, prefix, text, ...}   those between these texts
-- Returns as query.lua does.

-- An end of a stretch; nil where the score of the text is not as good as the text.
local function glance_end(kind, text, open, otherwise)
  if not text then return otherwise end
  local number = score(kind, text)
  if not number or number >= 9007199254740992 or number <= -9007199254740992 then return nil end
  return (open and '(' or '') .. string.format('%.17g', number)
end

local function glanced(asked)
  local base, command, first = ARGV[1] .. asked[1], asked[2], asked[2] == 'SCARD' and 5 or 9
  if command == 'ZCARD' then return redis.pcall(command, base .. '/ids') end
  local key = base .. '/index/'
  for i = first, #asked, 2 do key = key .. asked[i] .. '=' .. short(asked[i + 1]) .. '/' end
  key = key .. asked[3]
  if command == 'SCARD' then return redis.pcall(command, key .. '=' .. short(asked[4])) end
  local low, high = glance_end(asked[4], asked[5], asked[6], '-inf'), glance_end(asked[4], asked[7], asked[8], '+inf')
  return low and high and redis.pcall(command, key, low, high)
end

if request.glance and redis.pcall('HGET', KEYS[1], request.glance[1]) == ARGV[4] then
  local count = glanced(request.glance)
  if type(count) == 'number' then return {cmsgpack.pack({'ok', 'done', count})} end
end
