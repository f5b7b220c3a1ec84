-- Applies a batch of mutations to any models, all or nothing: first every check, then every write.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the batch, a packed list of mutations; then a shape and a declaration per model;
--          for a batch of one more may follow, see fast_commit.lua, and that may stand for the batch, see batch.lua;
--          at the end the token of the call, see idempotency.lua
-- Mutations, `m` being the number of a model in this call:
--   {'insert', m, n, texts, when, ttl}
--                                   n objects, the texts of one after another by column position, nil where absent, as
--                                   a key is that the server is to count; `when` nil: refuse what exists;
--                                   'ignore': leave out what conflicts; 'copy': the same, and what foreign keys lead
--                                   to may come later; {positions = {...}, on = {constraint -> true}}:
--                                   update these of the other where that constraint, or the name of the primary key,
--                                   is in conflict
--   {'save', m, 1, texts, nil, ttl} insert, or replace the object with this key
--   {'update', m, pk, changes} or {'update', m, pk, changes, expected, sums, ttl}
--                                   changes {position, text|false, ...}; expected the same, compared first;
--                                   sums, see updating.lua
--   {'amend', m, ...}               an update of an object that may be gone; its result is false then
--   {'delete', m, {pk, ...}, most}  and the objects that refer to them by their on_delete; 'large' if these are more
--   {'expire', m, {pk, ...}, ttl}   ttl everywhere: milliseconds the objects live from now on; here false: for ever
--   {'link', m, end, pk, others}    adds links from the object pk, see links.lua; others are {pk, ...}, or false for
--                                   what the mutation before has inserted
--   {'unlink', m, end, pk, {pk, ...}}  removes them; on a cluster both may go on with {pk, ...}, objects of other
--                                   partitions, which are known to be there
--   {'half', m, end, {pk, ...}, pk, adding}  there adds the last, of another partition, to the sets of these; or
--                                   removes it
--   {'numbered', m, {pk, number, ...}}  refuses if one of these numbers is another now, see tickets.lua; false: always
-- Returns {'ok', {result, ...}} with, in the order of the batch: the keys of an insert (false where left out), the
-- {key} of a save, {key, true} if it has replaced an object, the list of new texts of an update's sums,
-- {model -> count} of a delete, the count of an expire; or {outcome, number of the mutation, ...} and nothing has
-- changed. {'inexact', number, model key, operands}: a sum that can't be done here; the operands are
-- {number, position, text|false, ...} of this mutation and of others behind it.

local reply = require('write.fast_commit')
if reply then return reply end

local idempotency = require('server.idempotency')
if idempotency.reply then return idempotency.reply end

if ARGV[5] == 'insert_many' then
  local inserted = require('write.fast_insert_many').insert()
  if inserted then return idempotency.remember(inserted) end
end

local answer = require('server.server').answer
local actions = require('write.actions')
local apply = require('write.apply')
local mutations = require('write.mutations')

-- First clears some of the remains of expired objects, in a batch of its own.
local function clear_away(batch)
  local written = {}
  for _, mutation in ipairs(batch) do
    local m = mutations.model(mutation[2])
    if m.expires then
      local code, many = mutation[1], mutation[3]
      local count = code == 'insert' and many or code == 'expire' and #many or 1
      written[m] = (written[m] or 0) + count
    end
  end
  for m, count in pairs(written) do require('expiry.cleanup')(m, count) end
end

return idempotency.remember(answer(function()
  local batch, results = require('write.batch')(), {}
  mutations.batch = batch
  clear_away(batch)
  mutations.awaited = {}
  for number, mutation in ipairs(batch) do
    mutations.current = number
    results[number] = actions[mutation[1]](mutations.model(mutation[2]), mutation, results[number - 1])
  end
  apply(mutations.opened)
  return {'ok', results}
end))
