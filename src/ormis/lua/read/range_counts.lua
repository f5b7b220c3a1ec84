-- How many objects a sorted index has in a range, told without reading all of them: also an index on text, and one of
-- numbers whose scores do not stand for one value, as of decimals.
-- The members of an index on text are in the order of bytes, a NUL behind each text: below a text without a NUL are the
-- members of all lesser texts and no others. Right above it are its own, mixed with those of texts that go on with a
-- NUL. Scores are in the order of their values; members of one score are in none. Such members, at an end of the range,
-- are looked at.
-- Out: count_range(probe, m, conjuncts), of a measured probe, see probes.lua; nil if that takes too long.

local call = require('server.call')
local KEY = require('server.keys')

local MOST = 1000  -- members at an end of the range that are looked at

-- Each: how many members are below the value of a conjunct, and how many are equal to it; nil if that takes too long.
local around = {}

function around.text(probe, _, part)
  local text = part[5]
  if string.find(text, '\0', 1, true) then return nil end
  local first, last = '[' .. text .. '\0', '(' .. text .. '\1'
  if call('ZLEXCOUNT', probe.key, first, last) > MOST then return nil end
  local equal = 0
  for _, member in ipairs(call('ZRANGEBYLEX', probe.key, first, last)) do
    if not string.find(member, '\0', #text + 2, true) then equal = equal + 1 end
  end
  return call('ZLEXCOUNT', probe.key, '-', '(' .. text), equal
end

function around.sorted(probe, m, part)
  local number = require('values.scores')(part[3], part[5])
  if not number then return nil end
  local score = string.format('%.17g', number)
  if call('ZCOUNT', probe.key, score, score) > MOST then return nil end
  local below, equal = call('ZCOUNT', probe.key, '-inf', '(' .. score), 0
  local compare, text_or_default = require('values.compare').compare, require('model.models').text_or_default
  local of_part = type(part[2]) == 'table' and require('values.inside').reader(part[2])
  local position = of_part and part[2][1] or part[2]
  for _, pk in ipairs(call('ZRANGEBYSCORE', probe.key, score, score)) do
    local text = text_or_default(m, position, call('HGET', m.base .. KEY.object .. pk, m.columns[position]))
    if of_part then text = text and of_part(text) end
    local order = text and compare(part[3], text, part[5])
    if order == -1 then below = below + 1 elseif order == 0 then equal = equal + 1 end
  end
  return below, equal
end

local function count_range(probe, m, conjuncts)
  local low, high = conjuncts[probe[4]], conjuncts[probe[5]]
  if low and low[4] == 'startswith' then return not string.find(low[5], '\0', 1, true) and probe.cost or nil end
  local from, to = 0, call('ZCARD', probe.key)
  if low then
    local below, equal = around[probe[1]](probe, m, low)
    if not below or low[4] == 'eq' then return equal end
    from = low[4] == 'gt' and below + equal or below
  end
  if high then
    local below, equal = around[probe[1]](probe, m, high)
    if not below then return nil end
    to = high[4] == 'lte' and below + equal or below
  end
  return math.max(0, to - from)
end

return count_range
