-- Reads an object and renews its time to live.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the packed list {key of the model, time to live in milliseconds, primary key}; then
--          the names of the columns
-- Returns the texts of the columns, false for absent ones, the primary key first: all are false if there is no object.

local KEY = require('server.keys')
local renew = require('expiry.renewing').renew

local key, ttl, pk = unpack(cmsgpack.unpack(ARGV[2]))
local base = KEY.prefix .. key
local texts = redis.call('HMGET', base .. KEY.object .. pk, unpack(ARGV, 3))
if texts[1] then renew(base, ttl, {pk}) end
return texts
