-- Rows as one MessagePack text. cmsgpack writes an absent text as false, the byte 194, and can't be told to write nil
-- inside a table. If that byte is nowhere in the packed rows, no text is absent. Else each row is checked: one with an
-- absent text is packed from its values; runs of others are packed at once, less the head of their array.
-- Out: pack_rows(rows, width, positions|nil): the texts at these positions; without them, a row has as many as wanted.

local function pack_carefully(rows, width)
  local head = width < 16 and string.char(0x90 + width) or string.char(0xdc, math.floor(width / 256), width % 256)
  local parts, run, length = {'\221' .. struct.pack('>I4', #rows)}, {}, 0
  local function flush()
    if length > 0 then
      parts[#parts + 1] = string.sub(cmsgpack.pack(run), length < 16 and 2 or 4)
      run, length = {}, 0
    end
  end
  for i = 1, #rows do
    local row, whole = rows[i], true
    for j = 1, width do
      if not row[j] then
        row[j] = nil
        whole = false
      end
    end
    if whole then
      length = length + 1
      run[length] = row
      if length == 1000 then flush() end
    else
      flush()
      parts[#parts + 1] = head
      parts[#parts + 1] = cmsgpack.pack(unpack(row, 1, width))
    end
  end
  flush()
  return table.concat(parts)
end

local function pack_rows(rows, width, positions)
  if #rows == 0 then return '\144' end
  local wanted = positions and {} or rows
  if positions then
    for i = 1, #rows do
      local row, values = rows[i], {}
      for j = 1, width do values[j] = row[positions[j]] or false end
      wanted[i] = values
    end
  end
  local packed = cmsgpack.pack(wanted)
  return string.find(packed, '\194', 1, true) and pack_carefully(wanted, width) or packed
end

return pack_rows
