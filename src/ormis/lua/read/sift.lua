-- Keys by measured probes, see probes.lua.
-- Out: keys_of(probe), those that it allows; sift(keys, probe), of these those that it allows, too: an exact one of a
--      key, a set or a range of scores; walk(probe, descending, needed, look, spare|nil, all|nil), which walks a range
--      in its order until as much is kept as is needed, with all that stands with the last: `look` is given keys, the
--      list to which it adds what it keeps of them, themselves or rows that begin with them, and where each key stands,
--      a score or a text; it says false to give up, 'enough' to leave out further ones that stand with the last;
--      `spare` of the first keys are expected not to be kept; `all`: every key is. Returns the list and where each key
--      stands; nil if given up.

local call = require('server.call')

local PAGE = 200

local function keys_of(probe)
  if probe.keys then return probe.keys end
  if probe.list then return probe.list() end
  if probe[1] == 'equal' then return call('SMEMBERS', probe.key) end
  return call('ZRANGEBYSCORE', probe.key, probe.low, probe.high)
end

local function sift(keys, probe)
  if probe.keys then
    for i = 1, #keys do
      if keys[i] == probe.keys[1] then return probe.keys end
    end
    return {}
  end
  local in_set, kept, count = probe[1] == 'equal', {}, 0
  local found = call(in_set and 'SMISMEMBER' or 'ZMSCORE', probe.key, unpack(keys))
  local least, above, most, below = probe.least, probe.above, probe.most, probe.below
  for i = 1, #keys do
    local fits = found[i]
    if in_set then
      fits = fits == 1
    elseif fits then
      local own = tonumber(fits)
      fits = (not least or own > least or own == least and not above)
        and (not most or own < most or own == most and not below)
    end
    if fits then
      count = count + 1
      kept[count] = keys[i]
    end
  end
  return kept
end

local function walk(probe, descending, needed, look, spare, all)
  local by_text, command, low, high = probe[1] == 'text', 'ZRANGEBY', probe.low, probe.high
  if descending then command, low, high = 'ZREVRANGEBY', high, low end
  command = command .. (by_text and 'LEX' or 'SCORE')
  local kept, stands, start, size = {}, {}, 0, math.min(PAGE, math.max(needed + 1 + (spare or 0), all and 4 or 16))
  local function stand(i)
    local own = kept[i]
    return stands[type(own) == 'table' and own[1] or own]
  end
  repeat
    local keys, count, found = {}, 0, nil
    if by_text then
      -- Texts that go on with a NUL where another ends are not in their own order.
      local text_entries = require('values.text_entries')
      found = call(command, probe.key, low, high, 'LIMIT', start, size)
      for i = 1, #found do
        keys[i] = text_entries.pk_of(found[i])
        stands[keys[i]] = text_entries.start_of(found[i])
      end
      count = #found
    else
      found = call(command, probe.key, low, high, 'WITHSCORES', 'LIMIT', start, size)
      for i = 1, #found, 2 do
        count = count + 1
        keys[count] = found[i]
        stands[found[i]] = found[i + 1]
      end
    end
    local more = count == size
    local going_on = look(keys, kept, stands)
    if going_on == false then return nil end
    start, size = start + size, math.min(PAGE, 2 * size)
  until not more or going_on == 'enough' or #kept > needed and stand(#kept) ~= stand(needed)
  return kept, stands
end

return {keys_of = keys_of, sift = sift, walk = walk}
