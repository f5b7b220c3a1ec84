-- How many texts of an index on text are in a range, told without reading them.
-- The members are in the order of bytes, a NUL behind each text: below a text without a NUL are the members of all
-- lesser texts and no others. Right above it are its own, mixed with those of texts that go on with a NUL: these are
-- looked at.
-- Out: count_texts(probe, conjuncts), of a measured probe, see probes.lua; nil if that takes too long.

local call = require('server.call')

local MOST = 1000  -- members of one text that are looked at

local function count_texts(probe, conjuncts)
  local key, low, high = probe.key, conjuncts[probe[4]], conjuncts[probe[5]]

  local function below(text)
    return call('ZLEXCOUNT', key, '-', '(' .. text)
  end

  local function equal(text)
    local first, last = '[' .. text .. '\0', '(' .. text .. '\1'
    if call('ZLEXCOUNT', key, first, last) > MOST then return nil end
    local members, count = call('ZRANGEBYLEX', key, first, last), 0
    for i = 1, #members do
      if not string.find(members[i], '\0', #text + 2, true) then count = count + 1 end
    end
    return count
  end

  local function up_to(text)
    local own = equal(text)
    return own and below(text) + own
  end

  for _, part in ipairs({low or high, high}) do
    if string.find(part[5], '\0', 1, true) then return nil end
  end
  if low and low[4] == 'eq' then return equal(low[5]) end
  if low and low[4] == 'startswith' then return probe.cost end
  local from, to = 0, nil
  if low then from = (low[4] == 'gt' and up_to or below)(low[5]) end
  if high then to = (high[4] == 'lte' and up_to or below)(high[5]) else to = call('ZCARD', key) end
  return from and to and math.max(0, to - from)
end

return count_texts
