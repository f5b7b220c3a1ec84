-- Parts of columns that are kept as JSON, in indexes and constraints: their positions count down from -1.
-- A declared part is {name of the column, kind, step, ...}, see values/inside.lua; a model has them by name, m.parts,
-- and by position, m.part_at = {[-1] = {source = position of the column, read}}; m.columns[-1] is the name.
-- Out: add(m, at, name, part), a position, `at` the positions by name; open(m), which reads those of a shape; source(m,
--      position), that of the column; text(m, row, position), what a row has at any position.

local reader = require('values.inside').reader

local function column_at(m, at, name)
  if not at[name] then
    m.columns[#m.columns + 1] = name
    at[name] = #m.columns
  end
  return at[name]
end

local function add(m, at, name, part)
  m.part_at = m.part_at or {}
  local position = -1
  while m.columns[position] do position = position - 1 end
  m.columns[position], at[name] = name, position
  m.part_at[position] = {source = column_at(m, at, part[1]), read = reader(part)}
  return position
end

-- m.parts of a shape: {name, {name of the column, ...}, ...}, in the order of their positions.
local function open(m)
  local at, listed = {}, m.parts
  for position, name in ipairs(m.columns) do at[name] = position end
  m.parts = {}
  for i = 1, #listed, 2 do
    m.parts[listed[i]] = listed[i + 1]
    add(m, at, listed[i], listed[i + 1])
  end
end

local function source(m, position)
  return position < 0 and m.part_at[position].source or position
end

local function text(m, row, position)
  if position > 0 then return row[position] end
  local part = m.part_at[position]
  local whole = row[part.source]
  return whole and part.read(whole) or nil
end

return {add = add, open = open, source = source, text = text}
