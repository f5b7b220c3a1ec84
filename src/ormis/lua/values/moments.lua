-- A date and time as a column has it, from the form that it has in JSON: six digits behind the point, an aware one in
-- UTC with Z.
-- In: nothing. Out: moment(text); a text of another form as it is.

local FORM = '^(%d%d%d%d)%-(%d%d)%-(%d%d)[T ](%d%d):(%d%d):(%d%d)(.*)$'

-- The days since 0000-03-01 of a day, and the day of so many of them.
local function days_of(year, month, day)
  if month > 2 then month = month - 3 else year, month = year - 1, month + 9 end
  return year * 365 + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * month + 2) / 5) + day - 1
end

local function day_of(days)
  local era = math.floor(days / 146097)
  local rest = days - era * 146097
  local year = math.floor((rest - math.floor(rest / 1460) + math.floor(rest / 36524) - math.floor(rest / 146096)) / 365)
  local of_year = rest - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  local day = of_year - math.floor((153 * month + 2) / 5) + 1
  year = year + era * 400
  if month < 10 then return year, month + 3, day end
  return year + 1, month - 9, day
end

local function moment(text)
  local year, month, day, hour, minute, second, rest = string.match(text, FORM)
  if not year then return text end
  local digits, zone = string.match(rest, '^%.(%d+)(.*)$')
  digits, zone = string.sub((digits or '') .. '000000', 1, 6), zone or rest
  local sign, hours, minutes, more = string.match(zone, '^([%+%-])(%d%d):?(%d%d)(.*)$')
  local form = '%04d-%02d-%02dT%02d:%02d:%02d.%s%s'
  if zone == '' then return string.format(form, year, month, day, hour, minute, second, digits, '') end
  if zone ~= 'Z' and zone ~= 'z' and (not sign or more ~= '' and not string.find(more, '^:%d%d$')) then return text end
  local days, seconds = days_of(tonumber(year), tonumber(month), tonumber(day)), hour * 3600 + minute * 60 + second
  if sign then
    local offset = hours * 3600 + minutes * 60 + (more ~= '' and tonumber(string.sub(more, 2)) or 0)
    seconds = sign == '+' and seconds - offset or seconds + offset
    days, seconds = days + math.floor(seconds / 86400), seconds % 86400
  end
  year, month, day = day_of(days)
  local rest_of_hour = seconds % 3600
  return string.format(form, year, month, day, (seconds - rest_of_hour) / 3600, (rest_of_hour - rest_of_hour % 60) / 60,
    rest_of_hour % 60, digits, 'Z')
end

return moment
