-- The text of a server's error as a client would be sent it: one that concerns rights begins with NOPERM, none names a
-- line of a script.
-- Out: refusal(text).

local function refusal(text)
  -- Redis 6.2 puts the place in the script first: '@user_script: 7: -OOM ...', '@user_script: 7: The user ...'.
  text = string.gsub(text, '^@user_script: %d+: %-?', '')
  local denied = string.match(text, 'ACL failure in script: (.+)$')
  if denied then return 'NOPERM ' .. denied end
  denied = string.match(text, 'The user executing the script .+$')  -- Redis 6.2 and 7.0
  if denied then return 'NOPERM No permission: ' .. denied end
  return string.find(text, '^%u+ ') and text or 'ERR ' .. text
end

return refusal
