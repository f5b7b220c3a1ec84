-- How keys are spelled; storage/keys.py spells the same ones. All of them begin with the prefix.
-- A key of a model goes on with the model's own key: both are its base. Then follow
--   object .. pk            the hash of an object
--   ids                     sorted set: place in the order of creation -> primary key
--   next_id                 the last key that was counted up
--   index .. name           a sorted index; with '=' .. value behind it one set of an equality index; before the name
--                           of an index over several fields 'field=value/' for each field but the last
--   unique .. fields        hash: value -> primary key
--   links .. name .. '/' .. pk   set of the primary keys that the object is linked to
--   expiry                  sorted set: time -> primary key
-- Keys of ormis itself go on with
--   layout; once .. caller, see idempotency.lua; expiring .. model, see expiring.lua; expired .. model, see
--   expired_on_delete.lua; reindex, see progress.lua; set_aside .. key, see findings.lua; claims .. model .. '/' ..
--   fields, see swap_claims.lua; registered, admitted, orphaned .. model, see
--   elsewhere.lua; copies .. model, see tickets.lua
-- In: ARGV[1], the prefix of every key, '' if the database has none.
-- Out: prefix and these parts: object, ids, next_id, index, unique, links, expiry, layout, once, expiring, expired,
--      reindex, set_aside, claims, registered, admitted, orphaned, copies, migrations, migrating, columns. They are
--      texts, since a call of a function costs as much as to put together a key.

local prefix = ARGV[1]

return {
  prefix = prefix, object = ':', ids = '/ids', next_id = '/next_id', index = '/index/', unique = '/unique/',
  links = '/links/', expiry = '/expiry', layout = 'ormis/layout', once = 'ormis/once/', expiring = 'ormis/expiring/',
  expired = 'ormis/expired/', reindex = 'ormis/reindex', set_aside = 'ormis/set_aside/', claims = 'ormis/claims/',
  registered = 'ormis/registered/', admitted = 'ormis/admitted/', orphaned = 'ormis/orphaned/',
  copies = 'ormis/copies/',
  migrations = 'ormis/migrations', migrating = 'ormis/migrating', columns = 'ormis/columns',
}
