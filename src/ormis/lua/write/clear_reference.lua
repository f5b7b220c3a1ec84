-- Makes a reference of one object absent, with all that is derived from it.
-- Out: clear_reference(m, pk, position).

local apply = require('write.apply')
local mutations = require('write.mutations')

local function clear_reference(m, pk, position)
  mutations.change(m, pk, {position, false})
  apply({m})
  mutations.forget()
end

return clear_reference
