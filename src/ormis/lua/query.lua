-- Answers a query on one model, or says how to go on where one call is not enough.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the condition with its probes, see read/plan.lua, and the request; then a shape and
--          a declaration per model, that of the query first; then the parameters of a plan that is kept for any values
-- The request: {want = 'rows' | 'count' | 'keys' | 'aggregate', probes = {further probe, ...},
--   columns = {position, ...}, order = {{position, descending, nulls_first, kind, nullable}, ...}
--                                  then the order of creation, descending where `backwards`
--   joins, early, sorted           columns of related objects, see read/related_columns.lua
--   related                        whole related objects, see read/related_objects.lua
--   groups = {name, {pk, ...}}     say what is in the sets of links of this name, 'choice/links/tags/', of each key
--   offset, limit,
--   keys = {pk, ...}               look at these objects only, or
--   after, step, places            at the next objects in the order of creation (`backwards`: from the end); `places`:
--                                  say where each stands in it
--   enough                         how many rows of a portion or step are needed at most
--   aggregate                      the groups and aggregates of rows, see read/aggregation.lua
--   in_parts = {position, count}   as many objects make up a part, see read/value_batches.lua
--   before, less = {{{conjunct, ...}, {probe, ...}}, ...}   count only what stands before this object, see
--                                  read/ranking.lua
--   renew = {most, ttl, ttl, ...}  renew the time to live of the objects, and of those of `related`, if the result is
--                                  whole and there are at most so many; false for a model without
--   explain                        say what was done
--   budget                         how many objects one call may look at}
-- Returns a count, or {answer} or {answer, packed rows, packed places, packed related rows...}, with `groups` also the
-- packed list of their members, with `aggregate` {answer, packed groups}; the answer is one of
--   {'ok', 'done', count}          all there is
--   {'ok', 'keys', {pk, ...}}      too many for one call: the keys of the candidates, to be asked for in portions
--   {'ok', 'walk'}                 too many for that: to be asked for step by step
--   {'ok', 'step', place, count}   one step done; place of the last object looked at, false at the end; of `keys` how
--                                  many were looked at
--   {'ok', 'gone'}                 the object of `before` is not among them
-- with `less`, which no portion or step has, a list of how many meet each of its conditions as one more item, false
-- where no index tells;
-- with `in_parts` how many of the values were asked for as one more item; with `explain` what was done, see
-- read/explaining.lua

local answered, found = pcall(require('read.cheapest'))
if answered and found then return found end

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local key_part = require('server.key_part')
local lists = require('server.lists')
local extend, nothing = lists.extend, lists.nothing
local candidates = require('read.candidates')
local search, pack_wanted = candidates.search, candidates.pack_wanted
local request = require('read.request')
local find = require('read.search')

local function complete(head, rows, places)
  if request.explain then
    head[#head + 1] = require('read.explaining')()
  end
  local answer_ = {cmsgpack.pack(head)}
  if rows and request.want == 'aggregate' then
    local aggregation = require('read.aggregation')
    answer_[2] = aggregation.folded()
    return answer_
  end
  if not rows or request.want == 'count' then return answer_ end
  search.complete(rows)
  local related = nothing
  if request.related then
    related = require('read.related_objects')(rows)
  end
  answer_[2] = pack_wanted(rows, request.want == 'keys' and {1} or request.columns)
  answer_[3] = places and cmsgpack.pack(places) or ''
  if request.renew and head[2] == 'done' and request.renew[2] and #rows <= request.renew[1] then
    require('expiry.renewing').renew_rows(search.m.base, request.renew[2], rows)
  end
  extend(answer_, related)
  return answer_
end

-- The members of sets of links, for those who put the objects that were found back where they are linked.
local function add_groups(answer_)
  local base, members = KEY.prefix .. request.groups[1], {}
  for i, pk in ipairs(request.groups[2]) do members[i] = call('SMEMBERS', base .. key_part(pk)) end
  answer_[#answer_ + 1] = cmsgpack.pack(members)
  return answer_
end

local function answer_query()
  local how, count, rows, places = find()
  local head = {'ok', how, count}
  if how == 'step' then head[4] = #rows end
  if request.less then head = {'ok', how, count or false, search.lesser} end
  if request.in_parts then head[#head + 1] = search.values or 0 end
  local answer_ = complete(head, rows, places)
  return request.groups and add_groups(answer_) or answer_
end

local fine, result = pcall(answer_query)
if fine then return result end
return answer(function() error(result, 0) end)
