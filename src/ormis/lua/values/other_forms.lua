-- The scores of texts that ormis does not write and Python reads: 5.0 and 1e2 as int, times without microseconds, hours
-- in a duration, seconds as a number. Python reads no 05 and +5, so they have none.
-- Out: other_form(kind, text, score), score that of values/scores.lua; nil if the text is no value of that kind.

local LAST = 253402300800  -- seconds, the end of the year 9999

-- A number as JSON has it, nil if it is too large for a double.
local function json_number(text)
  local whole, rest = string.match(text, '^%-?(%d+)(.*)$')
  if not whole or string.find(whole, '^0%d') then return nil end
  rest = string.match(rest, '^%.%d+(.*)$') or rest
  if rest ~= '' and not string.find(rest, '^[eE][%+%-]?%d+$') then return nil end
  local number = tonumber(text)
  if number and number < math.huge and number > -math.huge then return number end
end

local function infinity(text)
  local sign, name = string.match(string.lower(text), '^(%-?)(inf%a*)$')
  if name ~= 'inf' and name ~= 'infinity' then return nil end
  return sign == '-' and -math.huge or math.huge
end

local function rounded(micros)
  return micros < 0 and 0 - math.floor(0.5 - micros) or math.floor(micros + 0.5)
end

-- A number of seconds within these bounds, without its fraction, and the fraction; nil outside of them.
local function seconds(text, least, most)
  local number = json_number(text)
  if not number or number < least or number >= most then return nil end
  local whole = number < 0 and math.ceil(number) or math.floor(number)
  return whole, number - whole
end

-- The microseconds of a moment given in seconds, rounded as msgspec does: by way of whole nanoseconds.
local function moment(text)
  local whole, rest = seconds(text, -62135596800, LAST)
  if not whole then return nil end
  local nanos = rest * 1000000000
  nanos = nanos < 0 and math.ceil(nanos) or math.floor(nanos)
  if nanos < 0 then whole, nanos = whole - 1, nanos + 1000000000 end
  local micros = math.floor(nanos / 1000 + 0.5)
  if micros == 1000000 then whole, micros = whole + 1, 0 end
  return whole * 1000000 + micros
end

-- Whole seconds and microseconds as microseconds; as in scores.lua only the sum is rounded.
local function summed(whole, micros)
  local low = whole % 1048576
  return (whole - low) * 1000000 + (low * 1000000 + micros)
end

-- The microseconds of a duration given in seconds.
local function duration(text)
  local whole, rest = seconds(text, -86399999913600, 86400000000000)
  if not whole then return nil end
  local micros = rounded(rest * 1000000)
  if whole < 0 or micros < 0 then return 0 - summed(0 - whole, 0 - micros) end
  return summed(whole, micros)
end

-- Digits behind the point of a second as microseconds: the seventh is rounded.
local function fraction(digits)
  local micros = tonumber(string.sub(digits .. '000000', 1, 6))
  return (string.byte(digits, 7) or 48) >= 53 and micros + 1 or micros
end

-- hh:mm:ss, a fraction and an offset as microseconds, and the offset in microseconds.
local function clock(text)
  local hour, minute, second, rest = string.match(text, '^(%d%d):(%d%d):(%d%d)(.*)$')
  if not hour or tonumber(hour) > 23 or tonumber(minute) > 59 or tonumber(second) > 59 then return nil end
  local digits, zone = string.match(rest, '^%.(%d+)(.*)$')
  zone = zone or rest
  local offset = 0
  if zone ~= '' and zone ~= 'Z' and zone ~= 'z' then
    local sign, hours, minutes = string.match(zone, '^([%+%-])(%d%d):?(%d%d)$')
    if not sign or tonumber(hours) > 23 or tonumber(minutes) > 59 then return nil end
    offset = (hours * 60 + minutes) * 60000000
    if sign == '-' then offset = 0 - offset end
  end
  return (hour * 3600 + minute * 60 + second) * 1000000 + fraction(digits or ''), offset
end

local other_forms = {}

function other_forms.int(text)
  local number = json_number(text)
  if number and number % 1 == 0 and number <= 9007199254740992 and number >= -9007199254740992 then
    return number + 0  -- not -0
  end
end

function other_forms.float(text)
  return json_number(text) or infinity(text)
end

function other_forms.datetime(text, score)
  local separator = string.sub(text, 11, 11)
  if not string.find(separator, '^[Tt ]$') then return moment(text) end
  local day = score('date', string.sub(text, 1, 10))
  local own, offset = clock(string.sub(text, 12))
  if not day or not own or own == 86400000000 and day == (LAST - 86400) * 1000000 then return nil end
  return day + own - offset
end

function other_forms.time(text)
  local own, offset = clock(text)
  return own and own % 86400000000 - offset
end

local UNITS = {'D', 86400, 'H', 3600, 'M', 60, 'S', 1}

function other_forms.timedelta(text)
  local sign, rest = string.match(string.upper(text), '^([%+%-]?)P(.+)$')
  if not sign then return duration(text) end
  local whole_seconds, micros, by_time = 0, 0, false
  for i = 1, #UNITS, 2 do
    if not by_time and UNITS[i] ~= 'D' and string.find(rest, '^T.') then
      rest, by_time = string.sub(rest, 2), true
    end
    local whole = string.match(rest, '^%d*')
    local digits = string.match(rest, '^%.?%d*', #whole + 1)
    local unit, behind = #whole + #digits + 1, nil
    if whole ~= '' and string.sub(rest, unit, unit) == UNITS[i] and by_time == (UNITS[i] ~= 'D') then
      behind = string.sub(rest, unit + 1)
      if digits == '.' or digits ~= '' and behind ~= '' then return nil end
      whole_seconds = whole_seconds + whole * UNITS[i + 1]
      if digits ~= '' then micros = rounded(tonumber(digits) * UNITS[i + 1] * 1000000) end
      rest = behind
    end
  end
  if rest ~= '' or whole_seconds >= (sign == '-' and 86399999913601 or 86400000000000) then return nil end
  local own = summed(whole_seconds, micros)
  return sign == '-' and 0 - own or own
end

local function other_form(kind, text, score)
  local read = other_forms[kind]
  return read and read(text, score)
end

return other_form
