-- The members of an index on text: the text, a NUL, the primary key. The text may contain NULs.
-- Out: pk_of(member), the whole member without a NUL; start_of(member), the text before its first NUL.
--
-- Each is linear in the length of the member: an unanchored pattern, '[^%z]*$', begins anew at each byte.

local function pk_of(member)
  local from, at = 1, string.find(member, '\0', 1, true)
  while at do
    from = at + 1
    at = string.find(member, '\0', from, true)
  end
  return string.sub(member, from)
end

local function start_of(member)
  return string.match(member, '^%Z*')
end

return {pk_of = pk_of, start_of = start_of}
