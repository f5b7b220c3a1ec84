--@include mutations
--@include apply
-- Makes a reference of one object absent, with all that is derived from it.
-- Out: release(m, pk, position).

local function release(m, pk, position)
  mutations.change(m, pk, {position, false})
  apply({m})
end
