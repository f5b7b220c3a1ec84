-- The columns of an object that a deletion has to know: its index entries and claims are made of them, they refer to
-- others, or others refer to their values.
-- Out: cleared_columns(m), a list of their positions.

local function cleared_columns(m)
  if not m.cleared then
    m.cleared = {unpack((require('expiry.expiring').watched(m)))}
    for i = 1, #m.references, 3 do table.insert(m.cleared, m.references[i]) end
    for _, referrer in ipairs(m.referrers or {}) do table.insert(m.cleared, referrer[5]) end
  end
  return m.cleared
end

return cleared_columns
