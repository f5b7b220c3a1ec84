-- Fast path of a query: the replies that indexes alone give. It stands before all other functions, since to make them
-- costs ten times as much as a count; index_only.lua continues it if there are rows to read, or keys to sift.
-- Whatever is out of the ordinary, an incomplete index, a score that does not stand for one value, too many candidates,
-- a refusal of the server, is left to the search.
-- In: KEYS[1] ormis/models, ARGV[4] the declaration of the model; of the plan, see plan.lua: want, 'rows', 'count', or
--   'ends', see ends_only.lua; false if indexes alone can't tell.
-- Out: answer_by_cheapest(), the reply as query.lua describes it, a count as it is, since packing it would cost as much
--      as finding it; nil if the search has to answer.

local KEY = require('server.keys')
local measure = require('read.probes').measure
local plan = require('read.plan').plan

local function answer_by_cheapest()
  if not plan[2] or redis.pcall('HGET', KEYS[1], plan[1]) ~= ARGV[4] then return nil end
  local base, conjuncts, best = KEY.prefix .. plan[1], plan[4], nil
  for i = 5, #plan do
    local probe = plan[i]
    measure(probe, base, conjuncts)
    if not probe.exact then return nil end
    if not best or probe.cost < best.cost then best = probe end
  end
  if plan[2] == 'count' and #plan < 6 then return best and best.cost or redis.call('ZCARD', base .. KEY.ids) end
  if plan[2] == 'ends' then
    if #plan > 5 then return nil end
    return require('read.ends_only')(best, base)
  end
  return require('read.index_only')(best, base)
end

return answer_by_cheapest
