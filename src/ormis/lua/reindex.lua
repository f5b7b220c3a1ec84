-- The beginning and the end of a reindexing: lists the parts to build and drop; marks them complete. Between them
-- the walks of check.lua build and drop, step by step, and clients keep the new indexes for what they write.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] the request; ARGV[3], ARGV[4] shape and declaration of the model
-- The request: {'begin'} or {'finish', {definition, ...}}, a definition being 'indexes type kind field,field' or
-- 'unique field,field', as merge_declarations.lua stores those that are incomplete.
-- Returns {'ok', build, dropped, after|false} at the beginning; {'ok', {definition that stays incomplete, ...}} at the
-- end, or {'ok', 'again'} where somebody else reindexes the model to another declaration.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local write = require('server.undo').write
local lists = require('server.lists')
local extend, as_set = lists.extend, lists.as_set
local models = require('model.models')
local progress = require('upkeep.progress')

-- The last word of a definition.
local function fields_of(definition)
  local last
  for word in string.gmatch(definition, '%S+') do last = word end
  return last
end

-- The declaration itself where it is all there is, which is what scripts compare it with.
local function store(m, stored)
  local declared = cjson.decode(ARGV[4])
  local all = #stored.incomplete == 0 and stored.expires == declared.expires
  for _, part in ipairs({'indexes', 'unique', 'references', 'links', 'defaults'}) do
    all = all and #(stored[part] or {}) == #(declared[part] or {})
  end
  write('HSET', KEYS[1], m.key, all and ARGV[4] or cjson.encode(stored))
end

-- Of the stored definitions those that are no longer declared, into the list.
local function undeclared(stored, declared, part, dropped)
  local wanted = as_set(declared[part])
  for _, definition in ipairs(stored[part] or {}) do
    if not wanted[definition] then dropped[#dropped + 1] = part .. ' ' .. definition end
  end
end

-- The parts that stay incomplete: those that were so, and indexes that use the keys of a dropped one.
local function still_incomplete(stored, declared, dropped)
  local was, used, list = as_set(stored.incomplete or {}), {}, {}
  for _, definition in ipairs(dropped) do used[fields_of(definition)] = true end
  for _, part in ipairs({'indexes', 'unique'}) do
    for _, definition in ipairs(declared[part]) do
      local name = part .. ' ' .. definition
      if was[name] or part == 'indexes' and used[fields_of(definition)] then list[#list + 1] = name end
    end
  end
  return list
end

local function begin(m)
  local stored, declared = cjson.decode(call('HGET', KEYS[1], m.key)), cjson.decode(ARGV[4])
  local before, dropped = progress.read(m.key), {}
  undeclared(stored, declared, 'indexes', dropped)
  undeclared(stored, declared, 'unique', dropped)
  declared.incomplete = still_incomplete(stored, declared, dropped)
  if stored.expires and call('EXISTS', m.base .. KEY.expiry) == 1 then declared.expires = true end
  if call('HGET', KEYS[1], m.key) ~= ARGV[4] then store(m, declared) end
  extend(dropped, before and before.dropped or {})
  local build = declared.incomplete
  local record = progress.holds(m.key, build)
  if not record or next(record.duplicates) or #dropped > #record.dropped then
    record = {build = build, dropped = dropped, after = false, duplicates = {}}
  end
  progress.write(m.key, (#build > 0 or #dropped > 0) and record or nil)
  return {'ok', build, dropped, record.after}
end

local function finish(m, build)
  local record = progress.holds(m.key, build)
  if not record then return {'ok', 'again'} end
  local stored, built, left = cjson.decode(call('HGET', KEYS[1], m.key)), as_set(build), {}
  for _, name in ipairs(stored.incomplete or {}) do
    if not built[name] or record.duplicates[fields_of(name)] then left[#left + 1] = name end
  end
  stored.incomplete = left
  progress.write(m.key, nil)
  store(m, stored)
  return {'ok', left}
end

return answer(function()
  local request = cmsgpack.unpack(ARGV[2])
  local m = models.open(ARGV[3], ARGV[4], true)
  if request[1] == 'begin' then return begin(m) end
  return finish(m, request[2])
end)
