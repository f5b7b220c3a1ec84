-- The first part of a request: the condition and the index probes for it, all that cheapest.lua needs.
-- In: ARGV[2], which begins with {model, want, rows, {conjunct, ...}, probe, ...}: the key of the model; want for
--   cheapest.lua and rows for index_only.lua; the conditions that all have to hold, see predicates.lua; probes, see
--   probes.lua. ARGV from its end, for the parameters: a number below 0 in the place of a value stands for the argument
--   that it counts to.
-- Out: plan, that list with the values in their places; rest, where the request goes on; bound(value), the value of a
--      parameter, any other value as it is.

local rest, plan = cmsgpack.unpack_one(ARGV[2])
local behind = #ARGV + 1

local function bound(value)
  return type(value) == 'number' and value < 0 and ARGV[behind + value] or value
end

for i = 1, #plan[4] do plan[4][i][5] = bound(plan[4][i][5]) end

return {plan = plan, rest = rest, bound = bound}
