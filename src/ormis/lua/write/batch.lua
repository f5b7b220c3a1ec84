-- The mutations of a commit.
-- In: ARGV[2], their packed list, see commit.lua; if it is empty, the one that ARGV[5] and what follows stand for, see
--     fast_commit.lua, of the model whose shape is ARGV[3].
-- Out: batch(), a list of mutations.

local function batch()
  if ARGV[2] ~= '' then return cmsgpack.unpack(ARGV[2]) end
  local positions = {}
  for position, name in ipairs(cmsgpack.unpack(ARGV[3]).columns) do positions[name] = position end
  if ARGV[5] == 'update' then
    local changes = {}
    for at = 10, #ARGV, 2 do
      changes[#changes + 1], changes[#changes + 2] = positions[ARGV[at]], ARGV[at + 1]
    end
    return {{'update', 1, ARGV[8], changes}}
  end
  local texts = {}
  for at = 9 + 2 * ARGV[8], #ARGV, 2 do texts[positions[ARGV[at]]] = ARGV[at + 1] end
  return {{'insert', 1, 1, texts}}
end

return batch
