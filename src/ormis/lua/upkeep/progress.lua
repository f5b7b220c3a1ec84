-- How far the reindexing of a model is: a field of ormis/reindex, so that it goes on after a crash.
-- A record is JSON: {build = {definition, ...}, dropped = {definition, ...}, after = place|false,
--   duplicates = {name of a constraint = true, ...}}
-- Out: progress: read(model), write(model, record), holds(model, build), note(model, build, after, findings).

local KEY = require('server.keys')
local call = require('server.server').call

local progress = {}
local progress_key = KEY.ormis('reindex')

function progress.read(model)
  local text = call('HGET', progress_key, model)
  return text and cjson.decode(text)
end

function progress.write(model, record)
  if record then call('HSET', progress_key, model, cjson.encode(record)) else call('HDEL', progress_key, model) end
end

-- The record, where it is that of building these definitions.
function progress.holds(model, build)
  local record = progress.read(model)
  return record and table.concat(record.build, '\n') == table.concat(build, '\n') and record
end

function progress.note(model, build, after, findings)
  local record = progress.holds(model, build)
  record.after = after
  for _, finding in ipairs(findings) do
    if finding[1] == 'unique-duplicate' then record.duplicates[finding[3]] = true end
  end
  progress.write(model, record)
end

return progress
