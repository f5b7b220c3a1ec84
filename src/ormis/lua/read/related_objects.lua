-- The objects that rows refer to, each once, for select_related.
-- request.related: {parent, position, model, by, count, ranked|nil}, ...: of the rows (parent 0) or of the
-- parent-th of these themselves the objects of `model` that the key at `position` names, or with `by` above 0
-- the one whose column at that position holds it; of each its first `count` columns, with `ranked` also its rank
-- in the order of creation.
-- Out: follow(row, parent), which reads those of a row, or of an object of the parent-th; follow_all(rows), false if
--      the texts are too long for one call; packed(), the lists of rows.

local KEY = require('server.keys')
local call = require('server.call')
local pack_rows = require('server.pack_rows')
local open_models = require('read.open_models')
local reading = require('read.bytes')
local request = require('read.request')

local found, known, specs_by_parent = {}, {}, {[0] = {}}
for r, spec in ipairs(request.related) do
  found[r], known[r], specs_by_parent[r] = {}, {}, {}
  table.insert(specs_by_parent[spec[1]], r)
end

local function follow(row, parent)
  local specs = specs_by_parent[parent or 0]
  for i = 1, #specs do
    local r = specs[i]
    local spec = request.related[r]
    local key, other, by = row[spec[2]], open_models.model_at(spec[3]), spec[4]
    if key and not known[r][key] then
      known[r][key] = true
      local pk = key
      if by > 0 then pk = open_models.holder(other, by, key) end
      local texts = pk and call('HMGET', other.base .. KEY.object .. pk, unpack(other.columns, 1, spec[5]))
      if texts and texts[1] then
        reading.add(texts)
        if spec[6] then texts[spec[5] + 1] = call('ZSCORE', other.base .. KEY.ids, pk) end
        table.insert(found[r], texts)
        follow(texts, r)
      end
    end
  end
end

local function follow_all(rows)
  for i = 1, #rows do
    if reading.full() then return false end
    follow(rows[i])
  end
  return true
end

local function packed()
  local lists = {}
  for r, spec in ipairs(request.related) do
    lists[r] = pack_rows(found[r], spec[5] + (spec[6] and 1 or 0))
    local ttl = request.renew and request.renew[2 + r]
    if ttl and #found[r] <= request.renew[1] then
      require('expiry.renewing').renew_rows(open_models.model_at(spec[3]).base, ttl, found[r])
    end
  end
  return lists
end

return {follow = follow, follow_all = follow_all, packed = packed}
