-- Access paths: how to find candidates without looking at every object, and what that costs.
-- A path is {cost, keys, exact}: cost is the number of candidates, keys() lists them, exact says that a candidate needs
-- no further look; `by` and what goes with it is for explaining.lua.
-- Out: path_of(m, condition, parts|nil), the cheapest; range_of(index, bounds), what of an index is within bounds;
--      conjuncts(condition), its parts; bounds_of(parts); index_on(m, position, type_), an index on that column alone;
--      member_keys(members), the primary keys of members of a text index.

local call = require('server.server').call
local KEY = require('server.keys')
local key_part = require('server.key_part')
local lists = require('server.lists')
local extend, nothing = lists.extend, lists.nothing
local score = require('values.scores')
local comparing = require('values.compare')
local exact, loose = comparing.exact, comparing.loose
local open_models = require('read.open_models')

local path_of

local function conjuncts(condition)
  if not condition or condition[1] == 'true' then return {} end
  if condition[1] ~= 'and' then return {condition} end
  local list = {}
  for i = 2, #condition do
    for _, part in ipairs(conjuncts(condition[i])) do list[#list + 1] = part end
  end
  return list
end

local function list_of(list)
  return function() return list end
end

local function member_keys(members)
  for i = 1, #members do members[i] = string.match(members[i], '([^%z]*)$') end
  return members
end

-- What the conjuncts say of each column: {[position] = {eq, low, high, low_open, high_open, prefix, parts}}, each
-- bound a text.
local function bounds_of(parts)
  if parts.bounds then return parts.bounds end
  local bounds = {}
  for i = 1, #parts do
    local part = parts[i]
    if part[1] == 'cmp' then
      local position, operator, text = part[2], part[4], part[5]
      local bound = bounds[position] or {kind = part[3], parts = {}}
      bounds[position] = bound
      local used = true
      if operator == 'eq' and not bound.eq then
        bound.eq = text
      elseif (operator == 'gt' or operator == 'gte') and not bound.low then
        bound.low, bound.low_open = text, operator == 'gt'
      elseif (operator == 'lt' or operator == 'lte') and not bound.high then
        bound.high, bound.high_open = text, operator == 'lt'
      elseif operator == 'startswith' and not bound.prefix then
        bound.prefix = text
      else
        used = false
      end
      if used then bound.parts[#bound.parts + 1] = i end
    end
  end
  parts.bounds = bounds
  return bounds
end

local function score_end(kind, text, open, otherwise)
  if not text then return otherwise end
  local number = score(kind, text)
  if not number then return otherwise end
  local sharp = open and kind ~= 'decimal' and exact(kind, text)
  local shown = string.format('%.17g', number)
  if number == math.huge then shown = '+inf' elseif number == -math.huge then shown = '-inf' end
  return (sharp and '(' or '') .. shown
end

local function text_range(key, bound)
  local low, high = '-', '+'
  if bound and bound.eq then
    low, high = '[' .. bound.eq .. '\0', '(' .. bound.eq .. '\1'
  elseif bound and bound.prefix then
    low, high = '[' .. bound.prefix, '[' .. bound.prefix .. '\255'
  elseif bound then
    if bound.low then low = '[' .. bound.low end
    -- What comes before a NUL may stand by itself: with the NUL and its key it sorts after the bound.
    if bound.high then high = '(' .. string.match(bound.high, '^%Z*') .. '\1' end
  end
  return {
    key = key, low = low, high = high, text = true, cost = call('ZLEXCOUNT', key, low, high),
    parts = bound and bound.parts or {}, exact = not bound,
  }
end

local function score_range(key, bound)
  local low, high, sharp = '-inf', '+inf', true
  if bound then
    sharp = bound.kind ~= 'decimal' and not (bound.eq and (bound.low or bound.high))
    local kind = bound.kind
    low = score_end(kind, bound.eq or bound.low, not bound.eq and bound.low_open, low)
    high = score_end(kind, bound.eq or bound.high, not bound.eq and bound.high_open, high)
    local texts = {bound.eq, bound.low, bound.high}
    for i = 1, 3 do
      if texts[i] and not exact(kind, texts[i]) then sharp = false end
    end
  end
  return {
    key = key, low = low, high = high, cost = call('ZCOUNT', key, low, high), parts = bound and bound.parts or {},
    exact = sharp,
  }
end

-- The range of an index that the bounds allow; nil where its prefix is not held to one value.
local function measured_range(index, bounds)
  local key, parts = index.base, {}
  for i = 1, #index.prefix do
    local bound = bounds[index.prefix[i]]
    if not bound or not bound.eq then return nil end
    key = key .. index.names[i] .. '=' .. key_part(bound.eq) .. '/'
    extend(parts, bound.parts)
  end
  key = key .. index.name
  local bound = bounds[index.last]
  local found = index.type == 'text' and text_range(key, bound) or score_range(key, bound)
  extend(parts, found.parts)
  found.parts, found.index = parts, index
  for i = 1, #index.prefix do
    local prefix = bounds[index.prefix[i]]
    if loose[prefix.kind] then return nil end
    if #prefix.parts > 1 then found.exact = false end
  end
  return found
end

-- The same, measured once for these bounds.
local function range_of(index, bounds)
  local ranges = bounds.ranges or {}
  bounds.ranges = ranges
  if ranges[index] == nil then ranges[index] = measured_range(index, bounds) or false end
  return ranges[index] or nil
end

local function range_keys(found)
  return function()
    if found.text then return member_keys(call('ZRANGEBYLEX', found.key, found.low, found.high)) end
    return call('ZRANGEBYSCORE', found.key, found.low, found.high)
  end
end

local function index_on(m, position, type_)
  for i = 1, #m.indexes do
    local index = m.indexes[i]
    if index.complete and index.type == type_ and #index.prefix == 0 and index.last == position then return index end
  end
end

local function claims_on(m, position)
  for i = 1, #m.unique do
    local unique = m.unique[i]
    if unique.complete and #unique.fields == 1 and unique.fields[1] == position then return unique end
  end
end

-- Equality with one of some texts.
local function equal_path(m, part)
  local position, kind = part[2], part[3]
  if position == 1 then
    local keys = {unpack(part, 5, math.min(#part, 4000))}
    if #part > 4000 then for i = 4001, #part do keys[#keys + 1] = part[i] end end
    return {cost = #keys, keys = function() return keys end, exact = false, by = 'key'}
  end
  if loose[kind] then return nil end
  local unique = claims_on(m, position)
  local index = not unique and index_on(m, position, 'equal')
  if not unique and not index then return nil end
  local cost, found = 0, {}
  for i = 5, #part do
    if unique then
      local pk = call('HGET', unique.key, part[i])
      if pk then found[#found + 1] = pk end
      cost = #found
    else
      found[#found + 1] = index.base .. index.name .. '=' .. key_part(part[i])
      cost = cost + call('SCARD', found[#found])
    end
  end
  if unique then
    return {cost = cost, keys = function() return found end, exact = true, by = 'unique', at = position}
  end
  return {cost = cost, exact = true, by = 'equal', at = position, keys = function()
    if #found == 1 then return call('SMEMBERS', found[1]) end
    local keys = {}
    for i = 1, #found do extend(keys, call('SMEMBERS', found[i])) end
    return keys
  end}
end

local function union_path(m, node)
  local cost, paths = 0, {}
  for i = 2, #node do
    local path = path_of(m, node[i])
    if not path then return nil end
    paths[#paths + 1] = path
    cost = cost + path.cost
  end
  return {cost = cost, exact = false, by = 'union', paths = paths, keys = function()
    local keys, seen = {}, {}
    for i = 1, #paths do
      for _, pk in ipairs(paths[i].keys()) do
        if not seen[pk] then
          seen[pk] = true
          keys[#keys + 1] = pk
        end
      end
    end
    return keys
  end}
end

-- True where an object without any field meets the condition: then one without the relation does, too.
local function holds_for_nothing(m, condition)
  return require('read.predicates')(m, condition, {})(nothing)
end

-- Through a foreign key, from the objects it may point at: worth it while they are few.
local function forward_path(m, node)
  local target = open_models.model_at(node[3])
  local path = not holds_for_nothing(target, node[4]) and path_of(target, node[4])
  if not path or path.cost > 200 then return nil end
  local keys = {}
  for _, pk in ipairs(path.keys()) do extend(keys, open_models.referring_keys(m, node[2], pk)) end
  return {
    cost = #keys, exact = false, by = 'forward', at = node[2], paths = {path}, model = target, keys = list_of(keys),
  }
end

local function reverse_path(_, node)
  local child, position = open_models.model_at(node[2]), node[3]
  local path = not holds_for_nothing(child, node[4]) and path_of(child, node[4])
  if not path or path.cost > 5000 then return nil end
  return {cost = path.cost, exact = false, by = 'reverse', paths = {path}, model = child, keys = function()
    local keys, seen, name = {}, {}, child.columns[position]
    for _, child_pk in ipairs(path.keys()) do
      local pk = call('HGET', child.base .. KEY.object .. child_pk, name)
      if pk and not seen[pk] then
        seen[pk] = true
        keys[#keys + 1] = pk
      end
    end
    return keys
  end}
end

-- Through links, from the sets of the objects on the other side.
local function link_path(_, node)
  local other, condition, wanted, inner = open_models.model_at(node[2]), node[5], nil, nil
  if not holds_for_nothing(other, condition) then
    wanted = open_models.keys_asked(condition)
    inner = not wanted and path_of(other, condition)
    if inner and inner.cost <= 500 then wanted = inner.keys() end
  end
  if not wanted or #wanted == 1000 then return nil end
  local base, sets, cost = open_models.links_base(other, node[4]), {}, 0
  for i = 1, #wanted do
    sets[i] = base .. key_part(wanted[i])
    cost = cost + call('SCARD', sets[i])
  end
  -- Objects that are in several sets are counted several times: then the cost is not their number.
  local exact_, several = not inner and not other.unsure, #sets > 1
  local paths = {inner or nil}
  return {cost = cost, exact = exact_, several = several, by = 'links', paths = paths, model = other, keys = function()
    if #sets == 0 then return {} end
    return call('SUNION', unpack(sets))
  end}
end

-- The cheapest path to a superset of what meets the condition; nil where every object has to be looked at.
function path_of(m, condition, parts)
  parts = parts or conjuncts(condition)
  local bounds, best = bounds_of(parts), nil
  local function offer(path, covered)
    -- Of two with as many candidates the one that covers more of the condition.
    if path and (not best or path.cost < best.cost or path.cost == best.cost and #covered > #best.covered) then
      best = path
      best.covered = covered
    end
  end
  for i = 1, #parts do
    local part = parts[i]
    if part[1] == 'cmp' and (part[4] == 'eq' or part[4] == 'in') then
      offer(equal_path(m, part), {i})
    elseif part[1] == 'or' then
      offer(union_path(m, part), {i})
    elseif part[1] == 'one' then
      offer(forward_path(m, part), {i})
    elseif part[1] == 'many' then
      offer(reverse_path(m, part), {i})
    elseif part[1] == 'linked' then
      offer(link_path(m, part), {i})
    elseif part[1] == 'false' then
      offer({cost = 0, exact = true, by = 'nothing', keys = list_of({})}, {i})
    end
  end
  for i = 1, #m.indexes do
    local index = m.indexes[i]
    local bound = bounds[index.last]
    -- Without a bound on its last field an index lacks the objects in which that is absent.
    if index.complete and index.type ~= 'equal' and bound and #bound.parts > 0 then
      local found = range_of(index, bounds)
      if found then
        offer({
          cost = found.cost, exact = found.exact, by = index.type, index = index, keys = range_keys(found),
        }, found.parts)
      end
    end
  end
  return best
end

return {
  path_of = path_of, range_of = range_of, conjuncts = conjuncts, bounds_of = bounds_of, index_on = index_on,
  member_keys = member_keys,
}
