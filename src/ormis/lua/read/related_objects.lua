-- The objects that rows refer to, each once, for select_related.
-- request.related: {parent, position, model, by, count, ranked|nil}, ...: of the rows (parent 0) or of the
-- parent-th of these themselves the objects of `model` that the key at `position` names, or with `by` above 0
-- the one whose column at that position holds it; of each its first `count` columns, with `ranked` also its rank
-- in the order of creation.
-- Out: related_rows(rows), one packed list of rows for each.

local KEY = require('server.keys')
local call = require('server.call')
local pack_rows = require('server.pack_rows')
local open_models = require('read.open_models')
local request = require('read.request')

local function related_rows(rows)
  local found, packed = {}, {}
  for r, spec in ipairs(request.related) do
    local position, other, by = spec[2], open_models.model_at(spec[3]), spec[4]
    local list, known = {}, {}
    for _, row in ipairs(spec[1] == 0 and rows or found[spec[1]]) do
      local key = row[position]
      if key and not known[key] then
        known[key] = true
        local pk = key
        if by > 0 then pk = open_models.holder(other, by, key) end
        local texts = pk and call('HMGET', other.base .. KEY.object .. pk, unpack(other.columns, 1, spec[5]))
        if texts and texts[1] then
          if spec[6] then texts[spec[5] + 1] = call('ZSCORE', other.base .. KEY.ids, pk) end
          list[#list + 1] = texts
        end
      end
    end
    found[r] = list
  end
  for r, spec in ipairs(request.related) do
    packed[r] = pack_rows(found[r], spec[5] + (spec[6] and 1 or 0))
    local ttl = request.renew and request.renew[2 + r]
    if ttl and #found[r] <= request.renew[1] then
      require('expiry.renewing').renew_rows(open_models.model_at(spec[3]).base, ttl, found[r])
    end
  end
  return packed
end

return related_rows
