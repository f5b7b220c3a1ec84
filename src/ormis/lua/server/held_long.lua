-- Out: held_long(), whether the server has been held for so long that what is left should go into another call: since
--      this library was made, in its first use.

local HELD = 0.004

-- Seconds of the processor; Redis 6.2 shows scripts no `os`, but its TIME goes on while they run.
local has_clock, seconds = pcall(function() return os.clock end)
if not has_clock then
  seconds = function()
    local time = redis.call('TIME')
    return time[1] + time[2] / 1000000
  end
end
local started = seconds()

local function held_long()
  return seconds() - started > HELD
end

return held_long
