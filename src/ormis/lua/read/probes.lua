-- Index probes: each reads one index for some of the conjuncts. planning/access_paths.py makes them.
-- A probe is {kind, number of the index or constraint, name, low, high, field, conjunct, ...}: low and high are numbers
-- of conjuncts, 0 for none, the same one for an equality; then come the fields before the last with their equalities.
--   key, unique, equal, sorted                               here: one key, or one set, or a range of a sorted index
--   key_in, unique_in, equal_in, text, entries, nothing,
--   union, forward, reverse, links                           in access_paths.lua
-- A measured probe has
--   cost       how many candidates there are
--   exact      whether they all meet what it covers
--   keys, or list(), which reads them, or key, low, high: a set, or a range of a sorted set
--   least, above, most, below    the range as numbers, and whether its ends are left out
-- Out: measure(probe, base, conjuncts), which adds these; locate(probe, base, conjuncts), all but the cost;
--      index_key(probe, base, conjuncts), the key of its index.

local KEY = require('server.keys')
local call = require('server.call')
local key_part = require('server.key_part')
local exact = require('values.exact')

local function index_key(probe, base, conjuncts)
  local key = base .. KEY.index
  for i = 6, #probe, 2 do key = key .. probe[i] .. '=' .. key_part(conjuncts[probe[i + 1]][5]) .. '/' end
  return key .. probe[3]
end

-- An end of a range as a command takes it, as a number, and whether it is left out. Where the score does not stand for
-- that one text, the range is not exact.
local function range_end(probe, part, otherwise)
  if not part then return otherwise end
  local kind, number = part[3], nil
  if kind == 'int' then number = tonumber(part[5]) else number = require('values.scores')(kind, part[5]) end
  local sharp = exact(kind, number)
  if not sharp then probe.exact = false end
  if not number then return otherwise end
  local open = sharp and (part[4] == 'gt' or part[4] == 'lt')
  return (open and '(' or '') .. string.format('%.17g', number), number, open
end

local function locate(probe, base, conjuncts)
  local key, low, high = index_key(probe, base, conjuncts), conjuncts[probe[4]], conjuncts[probe[5]]
  probe.exact = true
  if probe[1] == 'equal' then
    probe.key = key .. '=' .. key_part(low[5])
  else
    probe.key = key
    probe.low, probe.least, probe.above = range_end(probe, low, '-inf')
    probe.high, probe.most, probe.below = range_end(probe, high, '+inf')
  end
end

local function measure(probe, base, conjuncts)
  local kind = probe[1]
  if kind == 'key' or kind == 'unique' then
    local pk = conjuncts[probe[4]][5]
    if kind == 'unique' then
      pk = call('HGET', base .. KEY.unique .. probe[3], pk)
    elseif call('EXISTS', base .. KEY.object .. pk) == 0 then
      pk = false
    end
    probe.keys, probe.exact = pk and {pk} or {}, true
    probe.cost = #probe.keys
  else
    locate(probe, base, conjuncts)
    probe.cost = kind == 'equal' and call('SCARD', probe.key) or call('ZCOUNT', probe.key, probe.low, probe.high)
  end
end

return {measure = measure, locate = locate, index_key = index_key}
