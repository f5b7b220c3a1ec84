-- How many bytes of stored texts this call has read, and how many it may: whoever reads texts of any length adds to it.
-- In: request.bytes.
-- Out: bytes, {read, most}; full(), whether the call should read no more; add(texts, positions|nil), those of a list,
--      false for an absent one, or those at some positions.

local bytes = {read = 0, most = require('read.request').bytes or math.huge}

local function full()
  return bytes.read > bytes.most
end

local function add(texts, positions)
  local size = 0
  for i = 1, positions and #positions or #texts do
    local text = texts[positions and positions[i] or i]
    if text then size = size + #text end
  end
  bytes.read = bytes.read + size
end

return {bytes = bytes, full = full, add = add}
