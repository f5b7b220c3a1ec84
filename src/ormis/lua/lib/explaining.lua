-- What a query did, or would do, as data for explain().
-- Out: explanation(), {by, what, cost, {explanation of a part, ...}, quick checks, objects looked at, objects in all,
--      model, indexes that are left alone since they are incomplete}, `by` being one of key, unique, equal, sorted,
--      text, order, creation, all, union, forward, reverse, links, nothing, portion.

local function index_name(m, way)
  if way.index then
    local names = {}
    extend(names, way.index.names)
    names[#names + 1] = way.index.name
    return table.concat(names, ', ')
  end
  return way.at and m.columns[way.at] or ''
end

-- cmsgpack packs no more than 16 levels: what lies deeper is left out.
local function described(m, way, depth)
  local parts = {}
  for i, inner in ipairs(depth < 5 and way.ways or nothing) do
    parts[i] = described(way.model or m, inner, depth + 1)
  end
  return {way.by, index_name(m, way), way.cost or 0, parts, way.model and way.model.key or ''}
end

local function explanation()
  local m, lacking, checks = search.m, {}, {}
  for i = 1, #m.indexes do
    if not m.indexes[i].complete then lacking[#lacking + 1] = index_name(m, {index = m.indexes[i]}) end
  end
  for i, check in ipairs(search.checks or nothing) do checks[i] = check.key end
  return {described(m, search.taken or {by = 'portion'}, 0), checks, search.spent, call('ZCARD', search.ids), lacking}
end
