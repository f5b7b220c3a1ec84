-- The numbers that values are sorted by in a sorted set, from their stored texts.
-- In: nothing. Out: score(kind, text), a double, nil where Python reads no value of that kind from the text (and for
-- NaN). Texts in other forms than ormis writes are read by other_forms.lua.
--   int, float, decimal  the number itself, rounded to the nearest double; infinite where it is out of range
--   date, datetime       microseconds since 1970 UTC, a naive one taken as UTC
--   time                 microseconds since midnight, less the offset
--   timedelta            microseconds
-- Every score is the exact number rounded once, so a greater value never has a smaller score.

-- Seconds since midnight and microseconds of hh:mm:ss.ffffff at this place of the text, digits already checked.
local function clock(text, at)
  local h1, h2, _, m1, m2, _, s1, s2, _, u1, u2, u3, u4, u5, u6 = string.byte(text, at, at + 14)
  local hour, minute, second = h1 * 10 + h2 - 528, m1 * 10 + m2 - 528, s1 * 10 + s2 - 528
  if hour > 23 or minute > 59 or second > 59 then return nil end
  return hour * 3600 + minute * 60 + second,
    u1 * 100000 + u2 * 10000 + u3 * 1000 + u4 * 100 + u5 * 10 + u6 - 5333328
end

local score

local function other_form(kind, text)
  return require('values.other_forms')(kind, text, score)
end

function score(kind, text)
  if kind == 'int' then
    -- tonumber alone would take '0x10', ' 1' and '1\0'
    return (string.find(text, '^%-?[1-9]%d*$') or text == '0') and tonumber(text) or other_form(kind, text)
  elseif kind == 'float' then
    return string.find(text, '^%-?[1-9]%d*%.%d+$') and #text < 40 and tonumber(text) or other_form(kind, text)
  elseif kind == 'decimal' then
    if not string.find(text, '[^%d%.%+%-eE]') then return tonumber(text) end
    local sign, name = string.match(string.lower(text), '^([%+%-]?)(inf%a*)$')
    if name ~= 'inf' and name ~= 'infinity' then return nil end
    return sign == '-' and -math.huge or math.huge
  elseif kind == 'datetime' or kind == 'date' then
    local form = '^%d%d%d%d%-%d%d%-%d%d$'
    if kind == 'datetime' then form = '^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%dZ?$' end
    if not string.find(text, form) then return other_form(kind, text) end
    local y1, y2, y3, y4, _, m1, m2, _, d1, d2 = string.byte(text, 1, 10)
    local year, month, day = y1 * 1000 + y2 * 100 + y3 * 10 + y4 - 53328, m1 * 10 + m2 - 528, d1 * 10 + d2 - 528
    if year < 1 or month < 1 or month > 12 or day < 1 or day > 31 then return nil end
    if day > 28 then
      if month == 2 and (day > 29 or year % 4 > 0 or year % 100 == 0 and year % 400 > 0) then return nil end
      if day == 31 and (month == 4 or month == 6 or month == 9 or month == 11) then return nil end
    end
    -- Days from civil: the year begins with March, so that the leap day is its last.
    if month > 2 then month = month - 3 else year, month = year - 1, month + 9 end
    local leaps = (year - year % 4) / 4 - (year - year % 100) / 100 + (year - year % 400) / 400
    local before = 153 * month + 2
    local days = year * 365 + leaps + (before - before % 5) / 5 + day - 719469
    if kind == 'date' then return days * 86400000000 end
    local seconds, micros = clock(text, 12)
    return seconds and (days * 86400 + seconds) * 1000000 + micros
  elseif kind == 'time' then
    if not string.find(text, '^%d%d:%d%d:%d%d%.%d%d%d%d%d%d') then return other_form(kind, text) end
    local seconds, micros = clock(text, 1)
    if not seconds then return nil end
    local own = seconds * 1000000 + micros
    if #text == 15 then return own end
    -- An offset is hh:mm, of some historical zones hh:mm:ss, of made up ones hh:mm:ss.ffffff.
    local sign, offset, more = string.match(text, '^([%+%-])(%d%d:%d%d)(.*)$', 16)
    if more == '' then
      offset = offset .. ':00.000000'
    elseif more and string.find(more, '^:%d%d$') then
      offset = offset .. more .. '.000000'
    elseif more and string.find(more, '^:%d%d%.%d%d%d%d%d%d$') then
      offset = offset .. more
    else
      return other_form(kind, text)
    end
    seconds, micros = clock(offset, 1)
    if not seconds then return nil end
    return sign == '-' and own + (seconds * 1000000 + micros) or own - (seconds * 1000000 + micros)
  elseif kind == 'timedelta' then
    local sign, days, seconds, micros = string.match(text, '^(%-?)P(%d+)DT(%d+)%.(%d%d%d%d%d%d)S$')
    if not sign or #days > 9 or #seconds > 5 or tonumber(seconds) > 86399 then return other_form(kind, text) end
    days, seconds, micros = tonumber(days), tonumber(seconds), tonumber(micros)
    -- Both parts are exact, so that only their sum is rounded.
    seconds = days * 86400 + seconds
    local rest = seconds % 1048576
    local own = (seconds - rest) * 1000000 + (rest * 1000000 + micros)
    return sign == '-' and 0 - own or own
  end
  return nil
end

return score
