--@include looking
-- The order of rows: by the terms of request.order, {position, descending, nulls_first, kind, nullable}, then by that
-- of creation.
-- Out: by_term(term), set_places(rows), sort(rows), cut(rows, first, last), which leaves only these.

local function set_places(rows)
  for first = 1, #rows, CHUNK do
    local last = math.min(first + CHUNK - 1, #rows)
    local keys = {}
    for i = first, last do keys[#keys + 1] = rows[i][1] end
    local places = call('ZMSCORE', search.ids, unpack(keys))
    for i = first, last do rows[i].place = tonumber(places[i - first + 1] or 0) end
  end
end

local function by_term(term)
  local position, descending, nulls_first, kind = term[1], term[2], term[3], term[4]
  return function(a, b)
    local x, y = a[position], b[position]
    if not x or not y then
      if not x and not y then return 0 end
      return ((not x) == nulls_first) and -1 or 1
    end
    local order = compare(kind, x, y)
    if not order then
      -- What has no order, NaN and what is no value of the kind, comes after all else.
      local odd_x, odd_y = compare(kind, x, x) == nil, compare(kind, y, y) == nil
      order = odd_x == odd_y and 0 or odd_x and 1 or -1
    end
    return descending and -order or order
  end
end

local function sort(rows)
  local terms = {}
  for i, term in ipairs(request.order) do terms[i] = by_term(term) end
  local sign = request.backwards and -1 or 1
  table.sort(rows, function(a, b)
    for i = 1, #terms do
      local order = terms[i](a, b)
      if order ~= 0 then return order < 0 end
    end
    return (a.place - b.place) * sign < 0
  end)
end

local function cut(rows, first, last)
  if first == 1 and last >= #rows then return rows end
  local kept = {}
  for i = first, math.min(last, #rows) do kept[#kept + 1] = rows[i] end
  return kept
end
