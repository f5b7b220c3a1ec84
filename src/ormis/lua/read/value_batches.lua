-- Of an `in` as many values as make up a batch: the caller, who wants all objects of each value together, asks for the
-- others next. request.in_parts is {position of the `in`, how many objects make up a batch}.
-- Out: path_in_parts(), a probe, nil if no index helps. Its keys stand value by value, those of one in the
--      order of creation; the other values are taken from the condition, and search.values says how many are left.

local call = require('server.call')
local key_part = require('server.key_part')
local extend = require('server.lists').extend
local usable = require('read.access_paths').usable
local index_key = require('read.probes').index_key
local creation_order_of = require('read.creation_order').creation_order_of
local search = require('read.candidates').search
local in_place = require('read.ordering').in_place
local request = require('read.request')

-- Where groups of keys end, each of them in the order of creation; often they are in it already.
local function order_groups(keys, ends)
  local places_at, start = creation_order_of(search.ids, keys), 1
  local function before(i, j)
    if request.backwards then i, j = j, i end
    return places_at[i] < places_at[j]
  end
  for g = 1, #ends do
    local last, sorted, group = ends[g], true, {}
    for i = start + 1, last do sorted = sorted and before(i - 1, i) end
    if not sorted then
      local moved = {}
      for i = start, last do group[#group + 1] = i end
      table.sort(group, before)
      for i = 1, #group do moved[i] = keys[group[i]] end
      for i = 1, #group do keys[start + i - 1] = moved[i] end
    end
    start = last + 1
  end
  request.in_order = #request.order == 0
  return keys
end

local function path_in_parts()
  local position, most = request.in_parts[1], request.in_parts[2]
  local path
  for _, probe in ipairs(search.probes) do
    local about = probe[1] == 'equal_in' and search.conjuncts[probe[4]][2] == position
    if about and usable(probe, search.m) then path = probe end
  end
  if not path then return nil end
  local part = search.conjuncts[path[4]]
  local function keys_of_part()
    local keys, ends, values = {}, {}, #part - 4
    local room = math.max(1, math.min(most, math.floor(request.budget / search.price)))
    for i = 1, values do
      -- All members, where they are not more than there is room for: SCARD need not be asked.
      local key, left = index_key(path, search.m.base, search.conjuncts) .. '=' .. key_part(part[i + 4]), room - #keys
      local members = left > 0 and call('SRANDMEMBER', key, left + 1)
      if i > 1 and (not members or #members > left) then
        for j = values, i, -1 do part[j + 4] = nil end
        values = i - 1
        break
      end
      extend(keys, #members > left and call('SMEMBERS', key) or members)
      ends[i] = #keys
    end
    search.values = values
    return in_place() and order_groups(keys, ends) or keys
  end
  path.cost, path.exact, path.list = 0, true, keys_of_part
  return path
end

return path_in_parts
