--@include server
--@include short
-- The members of the sets of links of many objects.
-- KEYS[1]  ormis/models
-- ARGV[1]  the partition tag; ARGV[2] the beginning of the keys, 'choice/links/tags/'; ARGV[3] the packed list of the
--          keys of the objects
-- Returns {'ok', {{key, ...}, ...}}, a list of members for each.

return answer(function()
  local base, found = tag .. ARGV[2], {}
  for i, pk in ipairs(cmsgpack.unpack(ARGV[3])) do found[i] = call('SMEMBERS', base .. short(pk)) end
  return {'ok', found}
end)
