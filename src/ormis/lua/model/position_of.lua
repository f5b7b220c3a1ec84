-- The position of a column of a model that is known by the database's declarations alone, which name some columns.
-- Out: position_of(m, name), which adds the column if it is new.

local function position_of(m, name)
  for position, column in ipairs(m.columns) do
    if column == name then return position end
  end
  m.columns[#m.columns + 1] = name
  return #m.columns
end

return position_of
