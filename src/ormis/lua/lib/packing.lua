-- Rows as one MessagePack text. cmsgpack writes an absent text as false and can't be told to write nil inside a
-- table, so a row with one is packed from its values; runs of rows without are packed at once, less the head of their
-- array.
-- Out: pack_rows(rows, width, positions): the texts at these positions; without them, a row has as many as are wanted.

local function pack_rows(rows, width, positions)
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
    if positions then
      local values = {}
      for j = 1, width do values[j] = row[positions[j]] end
      row = values
    end
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
