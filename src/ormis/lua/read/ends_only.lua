-- The second part of the fast path of a query, see cheapest.lua: the number, the least and the largest values of all
-- objects, or of those in a range of one sorted index.
-- In: the plan, see plan.lua; of the plan what is asked for, {'count'} or {'min' or 'max', kind of the column, its
--   name} each, of columns with a sorted index.
-- Out: answer_by_ends(best, base), {'', reply, ...}: numbers, and texts, false for none; nil if the search has to
--   answer. `best` is the measured probe, nil without conditions, `base` the beginning of the keys of the model.

local KEY = require('server.keys')
local call = require('server.call')
local exact = require('values.exact')
local plan = require('read.plan').plan

-- The text at one end of a range of an index, false if the range is empty; nil where the search has to tell.
local function text_at_end(base, asked, key, low, high)
  local command = 'ZRANGEBYSCORE'
  if asked[1] == 'max' then command, low, high = 'ZREVRANGEBYSCORE', high, low end
  local first = call(command, key, low, high, 'WITHSCORES', 'LIMIT', 0, 1)
  if not first[1] then return false end
  if not exact(asked[2], tonumber(first[2])) then return nil end
  return call('HGET', base .. KEY.object .. first[1], asked[3]) or nil
end

local function answer_by_ends(best, base)
  local asked, reply = plan[3], {''}
  for i = 1, #asked do
    local own, found = asked[i], nil
    if own[1] == 'count' then
      found = best and best.cost or call('ZCARD', base .. KEY.ids)
    else
      local key = base .. KEY.index .. own[3]
      if best and best.key ~= key then return nil end
      found = text_at_end(base, own, key, best and best.low or '-inf', best and best.high or '+inf')
    end
    if found == nil then return nil end
    reply[i + 1] = found
  end
  return reply
end

return answer_by_ends
