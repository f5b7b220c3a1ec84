-- The findings of a maintenance walk, and the repairs that all of them share.
-- In: ARGV[2] the packed request; of it `repair`.
-- Out: request; found, the list of findings {kind, key, field|false, detail|false, mended}; note(kind, key, field,
--      detail, mend); ask(command, key, ...); set_aside(key).

local KEY = require('server.keys')
local server = require('server.server')
local bare, call, pcommand = server.bare, server.call, server.pcommand

local request = cmsgpack.unpack(ARGV[2])
local found, set_aside_keys = {}, {}

-- Notes a finding; mend, where it can be mended, is called when the request is to repair.
local function note(kind, key, field, detail, mend)
  local mended = request.repair and mend ~= nil
  found[#found + 1] = {kind, bare(key), field or false, detail or false, mended}
  if mended then mend() end
end

-- Moves a key that something else wrote out of the way, without losing what it holds.
local function set_aside(key)
  local place, number = KEY.prefix .. KEY.set_aside .. bare(key), 1
  local name = place
  while call('EXISTS', name) == 1 do
    number = number + 1
    name = place .. '/' .. number
  end
  call('RENAME', key, name)
end

-- One command on a key that may be of a wrong type: that is a finding, once for each key; nil where it is in the way.
local function ask(command, key, ...)
  local reply = pcommand(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then
    error({refusal = require('server.refusal')(reply.err)}, 0)
  end
  if not set_aside_keys[key] then
    set_aside_keys[key] = true
    note('type', key, nil, pcommand('TYPE', key).ok, function() set_aside(key) end)
  end
  if request.repair then return call(command, key, ...) end
  return nil
end

return {request = request, found = found, note = note, ask = ask, set_aside = set_aside}
