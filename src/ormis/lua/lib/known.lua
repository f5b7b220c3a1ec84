--@include models
-- The models as the database itself knows them: what refers to a model and what it is linked to, whoever declares it.
-- Out: known_models() -> {key = declaration}; referrers_of(known, key) -> {{key, column, action, nullable, default},
--      ...}; links_of(known, key) -> {name, target, name there, ...} or nil; split().

local function split(text)
  local list = {}
  for part in string.gmatch(text .. '\n', '([^\n]*)\n') do list[#list + 1] = part end
  return list
end

local function known_models()
  local flat, known = call('HGETALL', KEYS[1]), {}
  for i = 1, #flat, 2 do
    local fine, declaration = pcall(cjson.decode, flat[i + 1])
    if fine and type(declaration) == 'table' then
      declaration.text = flat[i + 1]
      known[flat[i]] = declaration
    end
  end
  return known
end

-- As a declaration has them: 'column LF target LF action LF 1|0 for optional LF default'.
local function referrers_of(known, key)
  local list = {}
  for child, declaration in pairs(known) do
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
local function links_of(known, key)
  local list = {}
  for source, declaration in pairs(known) do
    for _, link in ipairs(declaration.links or {}) do
      local part = split(link)
      if source == key then extend(list, part) end
      if part[2] == key then extend(list, {part[3], source, part[1]}) end
    end
  end
  return list[1] and list
end
