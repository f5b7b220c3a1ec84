-- Counts, least and largest values of all objects, or of a range of one sorted index, by the sizes and the ends of
-- indexes: whatever their number, a few commands.
-- In: request.aggregate, see aggregation.lua; the search, with the model and the conditions.
-- Out: answer_by_ends(path), true if all that is asked for is added up; path is the cheapest probe, nil without
--   conditions.

local call = require('server.call')
local KEY = require('server.keys')
local aggregation = require('read.aggregation')
local covers = require('read.access_paths').covers
local exact = require('values.exact')
local search = require('read.candidates').search
local open_models = require('read.open_models')
local index_on, gone_in = open_models.index_on, open_models.gone_in
local nothing = require('server.lists').nothing
local request = require('read.request')

local TIES = 100  -- objects whose texts are compared, where one score stands for several values

-- The range of the index of a column that holds all objects in question; nil if there is none.
local function range_of(position, path)
  local key = index_on(search.m, 'sorted', position)
  if not path then return key, '-inf', '+inf' end
  if key == path.key then return key, path.low, path.high end
  return nil
end

local function there(pks)
  return search.m.gone and require('expiry.left_behind').without_gone(search.m, pks) or pks
end

-- The texts of which one is the best.
local function texts_at_end(own, key, low, high)
  local least = own[1] == 'min'
  local command = least and 'ZRANGEBYSCORE' or 'ZREVRANGEBYSCORE'
  local from, to = least and low or high, least and high or low
  local first = call(command, key, from, to, 'LIMIT', 0, 1 + #(search.m.gone or nothing))
  local pks = {there(first)[1]}
  if not pks[1] then return {} end
  local score = call('ZSCORE', key, pks[1])
  if not exact(own[3], tonumber(score)) then
    pks = call('ZRANGEBYSCORE', key, score, score, 'LIMIT', 0, TIES + 1)
    if #pks > TIES then return nil end
    pks = there(pks)
  end
  local texts = {}
  for i = 1, #pks do
    texts[i] = call('HGET', search.m.base .. KEY.object .. pks[i], search.m.columns[own[2]])
    if not texts[i] then return nil end
  end
  return texts
end

local function count_of(own, path)
  local gone
  if own[2] == 0 then
    gone = gone_in(search.m, path or {'sorted', key = search.ids})
    return gone and (path and path.cost or call('ZCARD', search.ids)) - gone
  end
  local key, low, high = range_of(own[2], path)
  gone = key and gone_in(search.m, path or {'sorted', key = key})
  return gone and call('ZCOUNT', key, low, high) - gone
end

-- Whether aggregates are of the ends of indexes only, under conditions that one of these meets.
local function asked_for(path)
  local keys, aggregates = request.aggregate[1], request.aggregate[2]
  local met = path and path.exact and not path.several and #covers(path) or 0
  if #keys > 0 or search.m.unsure or search.bound or met ~= #search.conjuncts then return false end
  for i = 1, #aggregates do
    local what, distinct, condition = aggregates[i][1], aggregates[i][4], aggregates[i][5]
    if distinct or condition or (what ~= 'count' and what ~= 'min' and what ~= 'max') then return false end
  end
  return true
end

local function answer_by_ends(path)
  if not asked_for(path) then return false end
  aggregation.open(search.m, {})
  local group = aggregation.group_of(nil)
  for i = 1, #request.aggregate[2] do
    local own = request.aggregate[2][i]
    if own[1] == 'count' then
      local count = count_of(own, path)
      if not count then return false end
      own.counts[group] = count
    else
      local key, low, high = range_of(own[2], path)
      local texts = key and texts_at_end(own, key, low, high)
      if not texts then return false end
      for j = 1, #texts do own.add(own, group, texts[j]) end
    end
  end
  return true
end

return answer_by_ends
