-- Out: referring(child, position, value, most), the objects whose foreign key at this position has this value, after
--      what the batch did so far; nil if more than `most` are stored.

local objects = require('write.objects')
local stored_holders = require('write.stored_holders')

local function referring(child, position, value, most)
  local found, seen = {}, {}
  for _, child_pk in ipairs(stored_holders(child, position, value)) do
    local object = objects.find(child, child_pk, {position})
    if object then
      seen[object] = true
      if object.new[position] == value then found[#found + 1] = object end
      if #found > most then return nil end
    end
  end
  for i = 1, objects.count do
    local object = objects[i]
    if object.m == child and object.new and not seen[object] and object.new[position] == value then
      found[#found + 1] = object
    end
  end
  return found
end

return referring
