-- How many bytes of stored texts this call has read, and how many it may: whoever reads texts of any length adds to it.
-- In: request.bytes.
-- Out: bytes, {read, most}; full(), whether the call should read no more; add(texts), those of a list, false for an
--      absent one.

local bytes = {read = 0, most = require('read.request').bytes or math.huge}

local function full()
  return bytes.read > bytes.most
end

local function add(texts)
  local size = 0
  for i = 1, #texts do
    local text = texts[i]
    if text then size = size + #text end
  end
  bytes.read = bytes.read + size
end

return {bytes = bytes, full = full, add = add}
