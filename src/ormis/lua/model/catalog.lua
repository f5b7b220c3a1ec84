-- The models as the database itself knows them: the references and links of a model, whoever declares them.
-- In: KEYS[1] ormis/models.
-- Out: read_catalog(), {key = declaration}; referrers_of(catalog, key), {{key, column, action, nullable, default},
--      ...}; links_of(catalog, key), {name, target, name there, ...} or nil; split(text), the lines of a text.

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

-- As a declaration has them: 'column LF target LF action LF 1|0 for optional LF default'.
local function referrers_of(catalog, key)
  local list = {}
  for child, declaration in pairs(catalog) do
    for _, reference in ipairs(declaration.references or {}) do
      local part = split(reference)
      if part[2] == key and part[3] ~= 'do_nothing' then
        list[#list + 1] = {child, part[1], part[3], part[4] == '1', part[5] or false}
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

return {read_catalog = read_catalog, referrers_of = referrers_of, links_of = links_of, split = split}
