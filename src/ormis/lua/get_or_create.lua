-- Finds the one object that a query is about, or makes it: no other client can make it in between.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the request; then a shape and a declaration per model, that of the query first;
--          at the end the token of the call, see idempotency.lua
-- The request is one of query.lua, for rows, with
--   insertion = {1, texts, nil, ttl}   the object to make, as commit.lua has it; missing: none is made
--   link = {'link', ...}         a mutation that links it, as commit.lua has it; may be missing
--   mutation = {'update', ...}   what to do with the one object that is found, as change.lua has it; may be missing
-- Returns {'ok', 'created', {pk}}; {'ok', 'changed', pk, result}; {'ok', 'walk'}, to go on by steps; or, as an array,
-- {'ok', 'found', place, ended} and the rows that meet what the server knows of the condition, among the objects up to
-- that place; `ended` says that there are no others. Only where no row was found and nothing is left to look at is the
-- object made. A refusal that concerns the link has number 2, others 1.

local idempotency = require('server.idempotency')
if idempotency.reply then return idempotency.reply end

local server = require('server.server')
local call, answer = server.call, server.answer
local candidates = require('read.candidates')
local search, pack_wanted = candidates.search, candidates.pack_wanted
local request = require('read.request')
local find = require('read.search')
local clear_with = require('read.open_models').clear_with
local actions = require('write.actions')
local apply = require('write.apply')
local mutations = require('write.mutations')

clear_with(require('expiry.cleanup'))

local function found(place, rows)
  local ended = not place
  place = place or tonumber(call('ZRANGE', search.ids, -1, -1, 'WITHSCORES')[2] or -1)
  search.complete(rows)
  if request.renew and request.renew[2] then
    require('expiry.renewing').renew_rows(search.m.base, request.renew[2], rows)
  end
  return {cmsgpack.pack({'ok', 'found', place, ended}), pack_wanted(rows, request.columns)}
end

local function changed(pk)
  mutations.current = 1
  local code = request.mutation[1]
  local result = actions[code](mutations.model(1), {code, 1, pk, unpack(request.mutation, 2)})
  apply(mutations.opened)
  return {'ok', 'changed', pk, result}
end

local function created()
  mutations.current = 1
  local pks = actions.insert(mutations.model(1), {'insert', 1, unpack(request.insertion, 1, 4)})
  if request.link then
    mutations.current = 2
    actions.link(mutations.model(request.link[2]), request.link, pks)
  end
  apply(mutations.opened)
  return {'ok', 'created', pks}
end

local function obtain()
  local how, place, rows = find()
  if how == 'keys' or how == 'walk' then return {'ok', 'walk'} end
  if how == 'done' then place = false end
  if #rows == 1 and how == 'done' and request.mutation then
    return changed(rows[1][1])
  end
  if #rows > 0 or place or not request.insertion then return nil, found(place, rows) end
  return created()
end

local rows_found
local text = answer(function()
  local outcome
  outcome, rows_found = obtain()
  return outcome
end)
return rows_found or idempotency.remember(text)
