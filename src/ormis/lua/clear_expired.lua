-- Clears away what expired objects of any model have left behind, as much as one call has room for. For readings that
-- have found too much of it: they only read.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix
-- Returns {'ok'}, also where the server refuses to remove something.

local KEY = require('server.keys')
local answer = require('server.server').answer
local read_catalog = require('model.catalog').read_catalog
local merge_declarations = require('model.merge_declarations')
local clear_expired = require('expiry.cleanup')

local OBJECTS = 500  -- of a model; clearing.lua clears twice as many

return answer(function()
  for key, declaration in pairs(read_catalog()) do
    if declaration.expires then
      local m = {key = key, base = KEY.prefix .. key, columns = {declaration.pk or 'id'}}
      merge_declarations(m, declaration.text, declaration.text, false)
      clear_expired(m, OBJECTS)
    end
  end
  return {'ok'}
end)
