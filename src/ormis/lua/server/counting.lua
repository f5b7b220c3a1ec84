-- How keys are counted: 1, 2, 3; on a cluster, where a key says which partition its object is in, each by the number of
-- partitions above the last.
-- In: ARGV[1], the key prefix; KEYS[3], on a cluster: 'ormis/nothing/' and the number of the partition, a slash, how
-- many there are.
-- Out: step; first, the text of the key before the first one.

local step, first = 1, '0'
if KEYS[3] then
  first, step = string.match(string.sub(KEYS[3], #ARGV[1] + 1), '^ormis/nothing/(%d+)/(%d+)$')
  step = tonumber(step)
end

return {step = step, first = first}
