-- What a query did, or would do, as data for explain().
-- Out: explanation(), {by, what, cost, {explanation of a part, ...}, quick checks, objects looked at, objects in all,
--      model, indexes that are left alone since they are incomplete}, `by` being one of key, unique, equal, sorted,
--      text, order, creation, all, union, forward, reverse, links, nothing, portion.

local call = require('server.server').call
local lists = require('server.lists')
local extend, nothing = lists.extend, lists.nothing
local search = require('read.candidates').search

local function index_name(m, path)
  if path.index then
    local names = {}
    extend(names, path.index.names)
    names[#names + 1] = path.index.name
    return table.concat(names, ', ')
  end
  return path.at and m.columns[path.at] or ''
end

-- cmsgpack packs no more than 16 levels: what lies deeper is left out.
local function described(m, path, depth)
  local parts = {}
  for i, inner in ipairs(depth < 5 and path.paths or nothing) do
    parts[i] = described(path.model or m, inner, depth + 1)
  end
  return {path.by, index_name(m, path), path.cost or 0, parts, path.model and path.model.key or ''}
end

local function explanation()
  local m, lacking, checks = search.m, {}, {}
  for i = 1, #m.indexes do
    if not m.indexes[i].complete then lacking[#lacking + 1] = index_name(m, {index = m.indexes[i]}) end
  end
  for i, check in ipairs(search.checks or nothing) do checks[i] = check.key end
  return {described(m, search.taken or {by = 'portion'}, 0), checks, search.spent, call('ZCARD', search.ids), lacking}
end

return explanation
