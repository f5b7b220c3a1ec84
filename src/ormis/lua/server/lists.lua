-- Lists and sets in memory.
-- Out: extend(list, more), as_set(list), nothing, an empty list that nobody changes.

local nothing = {}

local function extend(list, more)
  local count = #list
  for i = 1, #more do list[count + i] = more[i] end
end

local function as_set(list)
  local set = {}
  for i = 1, #list do set[list[i]] = true end
  return set
end

return {extend = extend, as_set = as_set, nothing = nothing}
