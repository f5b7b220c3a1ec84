-- Keys by an index on text, whose members hold the texts: read page by page, since they may have any length.
-- Out: keys_between(key, low, high, parts), the keys of the members of this range; with `parts` those of its beginning
--      if the texts are too long for one call, and then also the last member.

local call = require('server.call')
local bytes = require('read.bytes').bytes
local pk_of = require('values.text_entries').pk_of

local PAGE = 100

local function keys_between(key, low, high, parts)
  local keys, count, found = {}, 0, nil
  repeat
    found = call('ZRANGEBYLEX', key, low, high, 'LIMIT', 0, PAGE)
    local size = 0
    for i = 1, #found do
      local member = found[i]
      size, keys[count + i] = size + #member, pk_of(member)
    end
    count, bytes.read = count + #found, bytes.read + size
    if #found < PAGE then return keys end
    low = '(' .. found[PAGE]
  until parts and bytes.read > bytes.most
  return keys, found[PAGE]
end

return keys_between
