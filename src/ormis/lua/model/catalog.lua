-- The models as the database itself knows them: the references and links of a model, whoever declares them.
-- In: KEYS[1] ormis/models.
-- Out: read_catalog(), {key = declaration}; referrers_of(catalog, key), {{key, column, action, nullable, default|false,
--      field|false}, ...}, the field being the one that is held in place of the primary key; reference_of(text), a
--      reference of a declaration: column, target, field|false, action, nullable, default|nil;
--      links_of(catalog, key), {name, target, name there, ...} or nil.

local call = require('server.call')
local extend = require('server.lists').extend

local function split(text)
  local list = {}
  for part in string.gmatch(text .. '\n', '([^\n]*)\n') do list[#list + 1] = part end
  return list
end

local function read_catalog()
  local flat, catalog = call('HGETALL', KEYS[1]), {}
  for i = 1, #flat, 2 do
    local fine, declaration = pcall(cjson.decode, flat[i + 1])
    if fine and type(declaration) == 'table' then
      declaration.text = flat[i + 1]
      catalog[flat[i]] = declaration
    end
  end
  return catalog
end

-- As a declaration has it: 'column LF target LF action LF 1|0 for optional LF default', the target being 'model/field'
-- where the column does not hold primary keys.
local function reference_of(text)
  local part = split(text)
  local target, field = string.match(part[2], '^([^/]*)/(.*)$')
  return part[1], target or part[2], field or false, part[3], part[4] == '1', part[5]
end

local function referrers_of(catalog, key)
  local list = {}
  for child, declaration in pairs(catalog) do
    for _, reference in ipairs(declaration.references or {}) do
      local column, target, field, action, nullable, default = reference_of(reference)
      if target == key and action ~= 'do_nothing' then
        list[#list + 1] = {child, column, action, nullable, default or false, field}
      end
    end
  end
  return list
end

-- Both ends of every relation, as a declaration has them: 'name LF target LF name there'.
local function links_of(catalog, key)
  local list = {}
  for source, declaration in pairs(catalog) do
    for _, link in ipairs(declaration.links or {}) do
      local part = split(link)
      if source == key then extend(list, part) end
      if part[2] == key then extend(list, {part[3], source, part[1]}) end
    end
  end
  return list[1] and list
end

return {read_catalog = read_catalog, referrers_of = referrers_of, links_of = links_of, reference_of = reference_of}
