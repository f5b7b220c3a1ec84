-- How far the reindexing of a model is: a field of ormis/reindex, so that it goes on after a crash.
-- A record is JSON: {build = {definition, ...}, dropped = {definition, ...}, after = place|false,
--   duplicates = {name of a constraint = true, ...}}
-- Out: read(model), write(model, record), holds(model, build), note(model, build, after, findings).

local KEY = require('server.keys')
local call = require('server.call')

local progress_key = KEY.prefix .. KEY.reindex

local function read(model)
  local text = call('HGET', progress_key, model)
  return text and cjson.decode(text)
end

local function write(model, record)
  local write_field = require('server.undo').write
  if record then return write_field('HSET', progress_key, model, cjson.encode(record)) end
  write_field('HDEL', progress_key, model)
end

-- The record, where it is that of building these definitions.
local function holds(model, build)
  local record = read(model)
  return record and table.concat(record.build, '\n') == table.concat(build, '\n') and record
end

local function note(model, build, after, findings)
  local record = holds(model, build)
  record.after = after
  for _, finding in ipairs(findings) do
    if finding[1] == 'unique-duplicate' then record.duplicates[finding[3]] = true end
  end
  write(model, record)
end

return {read = read, write = write, holds = holds, note = note}
