-- The steps that a query took, or would take, as data for explain().
-- Out: explanation(), {by, what, cost, {explanation of a part, ...}, quick checks, objects looked at, objects in all,
--      model, indexes that are left alone since they are incomplete}, `by` being one of key, unique, equal, sorted,
--      text, members, order, creation, all, union, forward, reverse, links, nothing, portion.

local prefix = require('server.keys').prefix
local call = require('server.call')
local nothing = require('server.lists').nothing
local search = require('read.candidates').search

local function joined(names, last)
  return table.concat(names, ', ') .. (#names > 0 and ', ' or '') .. last
end

local function index_name(probe)
  local names = {}
  if (probe[2] or 0) > 0 then
    for i = 6, #probe, 2 do names[#names + 1] = probe[i] end
  end
  return joined(names, probe[3] or '')
end

-- cmsgpack packs no more than 16 levels: deeper parts are left out.
local function described(path, depth, m)
  local parts, kind = {}, path.by or string.gsub(path[1], '_in$', '')
  if kind == 'equal' then kind = m.indexes[path[2]].type end
  for i, inner in ipairs(depth < 5 and path.paths or nothing) do
    parts[i] = described(inner, depth + 1, path.model or m)
  end
  return {kind, index_name(path.probe or path), path.cost or 0, parts, path.model and path.model.key or ''}
end

local function explanation()
  local m, lacking, checks = search.m, {}, {}
  for i = 1, #m.indexes do
    local index = m.indexes[i]
    if not index.complete then lacking[#lacking + 1] = joined(index.names, index.name) end
  end
  for i, check in ipairs(search.checks or nothing) do checks[i] = string.sub(check.key, #prefix + 1) end
  return {described(search.taken or {by = 'portion'}, 0, m), checks, search.spent, call('ZCARD', search.ids), lacking}
end

return explanation
