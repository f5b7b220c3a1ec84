-- The beginning of a deep slice in an order that an index has: found by rank, in logarithmic time.
-- Out: skip(probe, descending, offset), of a measured probe all of whose members count: the probe from the objects that
--      stand at this offset on, all that stand with the first of them included, and how many stand before these; nil
--      for a range that ends before.

local call = require('server.call')

-- How many members are below the lower end of a range, or above the upper one.
local function outside(probe, descending)
  local bound = descending and probe.high or probe.low
  if bound == '-inf' or bound == '+inf' then return 0 end
  local open = string.sub(bound, 1, 1) == '('
  local beyond = open and string.sub(bound, 2) or '(' .. bound
  if descending then return call('ZCOUNT', probe.key, beyond, '+inf') end
  return call('ZCOUNT', probe.key, '-inf', beyond)
end

local function skip_scores(probe, descending, offset)
  local start = outside(probe, descending) + offset
  local found = call(descending and 'ZREVRANGE' or 'ZRANGE', probe.key, start, start, 'WITHSCORES')
  local score = found[2]
  if descending then
    return {high = score, low = probe.low}, call('ZCOUNT', probe.key, '(' .. score, probe.high)
  end
  return {low = score, high = probe.high}, call('ZCOUNT', probe.key, probe.low, '(' .. score)
end

-- Of an index on text, without ends: those that stand together have the same text before its first NUL.
local function skip_texts(probe, descending, offset)
  local found = call(descending and 'ZREVRANGE' or 'ZRANGE', probe.key, offset, offset)
  local text = require('values.text_entries').start_of(found[1])
  if descending then
    return {high = '(' .. text .. '\1', low = '-'}, call('ZLEXCOUNT', probe.key, '[' .. text .. '\1', '+')
  end
  return {low = '[' .. text .. '\0', high = '+'}, call('ZLEXCOUNT', probe.key, '-', '(' .. text .. '\0')
end

local function skip(probe, descending, offset)
  if offset >= probe.cost then return nil end
  local from, before = (probe[1] == 'text' and skip_texts or skip_scores)(probe, descending, offset)
  from[1], from.key = probe[1], probe.key
  return from, before
end

return skip
