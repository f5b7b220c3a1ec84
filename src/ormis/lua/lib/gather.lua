-- Collects what goes to one key, removals before additions, for one variadic command each.
-- Out: gather(command, key, argument, argument|nil), gather_new(object), send(invoke).

local CHUNK = 4000  -- arguments in one command; Lua unpacks some 8,000
local removals, additions = {}, {}
local removing = {ZREM = true, SREM = true, HDEL = true}

local function gather(command, key, argument, second)
  local groups = removing[command] and removals or additions
  local group = groups[key]
  if not group then
    group = {command = command, count = 0}
    groups[key] = group
  end
  local count = group.count + 1
  group[count] = argument
  if second then
    count = count + 1
    group[count] = second
  end
  group.count = count
end

local function add(group, argument, second)
  local count = group.count + 2
  group[count - 1], group[count], group.count = argument, second, count
end

-- What a new object adds to indexes over one field, by the group itself: the way of most of a bulk insert.
local function gather_new(object)
  local m, row, pk = object.m, object.new, object.pk
  local groups, indexes = m.groups, m.indexes
  if not groups then
    groups = {ids = {command = 'ZADD', count = 0}}
    additions[m.base .. '/ids'], m.groups = groups.ids, groups
  end
  for i = 1, #indexes, 5 do
    local text, kind_of_index = row[indexes[i + 3]], indexes[i]
    if text and (indexes[i + 4] or kind_of_index == 'text') then
      local key, member, number = models.entry(m, i, row, pk)
      if key then gather(number and 'ZADD' or 'SADD', key, number or member, number and member) end
    elseif text and kind_of_index == 'equal' then
      local of_index = groups[i] or {}
      groups[i] = of_index
      local group = of_index[text]
      if not group then
        local key = models.entry(m, i, row, pk)
        group = additions[key] or {command = 'SADD', count = 0}
        of_index[text], additions[key] = group, group
      end
      local count = group.count + 1
      group[count], group.count = pk, count
    elseif text then
      local group = groups[i]
      if not group then
        local key = m.base .. '/index/' .. indexes[i + 2]
        group = additions[key] or {command = 'ZADD', count = 0}
        groups[i], additions[key] = group, group
      end
      local number = score(indexes[i + 1], text)
      if number then add(group, number, pk) end
    end
  end
  add(groups.ids, object.place, pk)
end

local function send(invoke)
  for _, groups in ipairs({removals, additions}) do
    for key, group in pairs(groups) do
      for first = 1, group.count, CHUNK do
        invoke(group.command, key, unpack(group, first, math.min(first + CHUNK - 1, group.count)))
      end
    end
  end
end
