-- How keys are spelled; storage/keys.py spells the same ones. Only here the prefix is put before a key.
-- Keys of a model begin with its base; then follow
--   object .. pk            the hash of an object
--   ids                     sorted set: place in the order of creation -> primary key
--   next_id                 the last key that was counted up
--   index .. name           a sorted index; with '=' .. value behind it one set of an equality index; before the name
--                           of an index over several fields 'field=value/' for each field but the last
--   unique .. fields        hash: value -> primary key
--   links .. name .. '/' .. pk   set of the primary keys that the object is linked to
--   expiry                  sorted set: time -> primary key
-- Keys of ormis itself: layout; once/CALLER, see idempotency.lua; expiring/MODEL and expired/MODEL, see expiring.lua
-- and expired_on_delete.lua; reindex, see progress.lua; set_aside/KEY, see findings.lua.
-- In: ARGV[1], the prefix of every key, '' on a single server.
-- Out: base(model), ormis(part, name|nil), bare(key), which is the key without the prefix; and the beginnings behind a
--      base: object, ids, next_id, index, unique, links, expiry. They are texts: a function more costs 0.04 us a call.

local prefix = ARGV[1]

return {
  base = function(model) return prefix .. model end,
  ormis = function(part, name) return prefix .. 'ormis/' .. part .. (name and '/' .. name or '') end,
  bare = function(key) return string.sub(key, #prefix + 1) end,
  object = ':', ids = '/ids', next_id = '/next_id', index = '/index/', unique = '/unique/', links = '/links/',
  expiry = '/expiry',
}
