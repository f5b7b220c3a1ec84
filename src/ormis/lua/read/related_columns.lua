-- Columns of related objects, as further positions of a row. They count from 1001, since the server may know columns
-- of a model that the caller does not.
-- A join is {from, model, by, at, {position, ...}}: the object of `model` that the key at position `from` names (with
-- `by` above 0 the one whose column at that position holds it); its columns become `at`, `at` + 1, ...
-- Out: prepare_joins(joins, early, sorted): three functions, each nil if there is nothing to do, for the joins that
--      the condition needs, those that the order needs more, and for the rest of them on a list of rows.

local KEY = require('server.keys')
local call = require('server.call')
local nothing = require('server.lists').nothing
local models = require('model.models')
local open_models = require('read.open_models')

local function prepare_joins(joins, early, sorted)
  local function texts_of(join, key)
    local found = join.known[key]
    if found == nil then
      local other, pk = join.model, key
      if join[3] > 0 then pk = open_models.holder(other, join[3], key) end
      found = pk and call('HMGET', other.base .. KEY.object .. pk, unpack(join.names)) or nothing
      if join.fill and found[#join.names] then join.fill(found) end
      join.known[key] = found
    end
    return found
  end
  local function add(row, first, last)
    for j = first, last do
      local join = joins[j]
      local key = row[join[1]]
      local texts, at = key and texts_of(join, key) or nothing, join[4] - 1
      for i = 1, #join[5] do row[at + i] = texts[i] end
    end
  end
  for _, join in ipairs(joins) do
    join.model, join.known, join.names = open_models.model_at(join[2]), {}, {}
    local defaults = {}
    for i, position in ipairs(join[5]) do
      join.names[i] = join.model.columns[position]
      defaults[i] = models.text_or_default(join.model, position) or nil
    end
    join.names[#join.names + 1] = join.model.columns[1]  -- whether the object is there
    join.fill = models.filler({defaults = defaults}, join[5])
  end
  return early > 0 and function(row) add(row, 1, early) end,
    sorted > early and function(row) add(row, early + 1, sorted) end,
    function(rows)
      if sorted == #joins then return end
      for i = 1, #rows do add(rows[i], sorted + 1, #joins) end
    end
end

return prepare_joins
