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
--   behind = {name, member}        the keys of an index on text, from behind a member on
--   ties = {number of a conjunct, rank, backwards, inclusive}    it is about what is behind a place in the order: of
--                                  what stands at the bound beside it, the objects behind this rank in the order of
--                                  creation
--   enough                         how many rows of a portion or step are needed at most
--   aggregate                      the groups and aggregates of rows, see read/aggregation.lua
--   in_parts = {position, count}   as many objects make up a part, see read/value_batches.lua
--   before, less = {{{conjunct, ...}, {probe, ...}}, ...}   count only what stands before this object, or place, see
--                                  read/ranking.lua
--   renew = {most, ttl, ttl, ...}  renew the time to live of the objects, and of those of `related`, if the result is
--                                  whole and there are at most so many; false for a model without
--   explain                        say what was done
--   budget, bytes                  how many objects one call may look at, and how many bytes of their texts
--   long = {position, ...}         the columns whose texts may have any length}
-- Returns a count, or {answer} or {answer, packed rows, packed places, packed related rows...}, with `groups` also the
-- packed list of their members, with `aggregate` {answer, packed groups}; the answer is one of
--   {'ok', 'done', count}          all there is
--   {'ok', 'keys', {pk, ...}, long}      too many for one call: the keys of the candidates, to be asked for in
--                                        portions, followed by name, member if they are the first of a text index
--   {'ok', 'walk', false, long}          too many for that: to be asked for step by step
--   {'ok', 'step', place, count, long}   one step done; place of the last object looked at, false at the end; of `keys`
--                                        how many were looked at
--   {'ok', 'gone'}                 the object of `before` is not among them
-- `long` says that the texts that were read are too long for one call;
-- 'expired' in the place of 'ok' says the same, and that more expired objects than a reading passes over have left
-- something behind, which a call of clear_expired.lua removes;
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
local full = require('read.bytes').full

-- What belongs to the rows of the result, but for those that had it from the beginning; false if it is too long for one
-- call.
local function belongings(rows)
  if not search.complete(rows) then return false end
  if not request.related then return nothing end
  local related_objects = require('read.related_objects')
  return (search.row_by_row or related_objects.follow_all(rows)) and related_objects.packed()
end

-- Of a whole result its keys; of the best rows of a portion or step nothing: the keys of the best ones of all are asked
-- for next.
local function too_long(head, rows)
  if head[2] == 'step' then
    head[4] = 0
    local answer_ = {cmsgpack.pack(head), pack_wanted({}, request.columns), ''}
    for i = 1, #(request.related or nothing) do answer_[3 + i] = pack_wanted({}, request.columns) end
    return answer_
  end
  local keys = {}
  for i = 1, #rows do keys[i] = rows[i][1] end
  return {cmsgpack.pack({'ok', 'keys', keys, true, unpack(head, 4)})}
end

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
  local related = belongings(rows)
  if not related then return too_long(head, rows) end
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
  local head = {request.expired_left and 'expired' or 'ok', how, count or false}
  if how == 'step' then head[4] = #rows end
  if how ~= 'done' then head[#head + 1] = full() end
  if request.less then head[4], head[5] = search.lesser, nil end
  if request.in_parts then head[#head + 1] = search.values or 0 end
  local answer_ = complete(head, rows, places)
  if how == 'keys' and places then answer_[2], answer_[3] = places[1], places[2] end
  return request.groups and add_groups(answer_) or answer_
end

local fine, result = pcall(answer_query)
if fine then return result end
return answer(function() error(result, 0) end)
