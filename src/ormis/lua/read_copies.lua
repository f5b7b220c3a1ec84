-- On a cluster: objects that are in every partition, as this one has them, of several models at one moment.
-- KEYS[1]  ormis/models
-- ARGV[1]  the key prefix; ARGV[2] a packed list of {number of the model, numbered, {primary key, ...}}: with
--          `numbered` each object has a new number, as if it were changed here; then shape, declaration of each model
-- Returns {'ok', {row, ...}}: {number of the model, primary key, entry, place, milliseconds left, position, text, ...},
-- all of them texts, see tickets.lua. The place in the order of creation is '' where there is no object; one without an
-- end has '-1' left.

local KEY = require('server.keys')
local server = require('server.server')
local call, answer = server.call, server.answer
local extend = require('server.lists').extend
local tickets = require('write.tickets')
local mutations = require('write.mutations')

local function row_of(number, m, pk)
  local key = m.base .. KEY.object .. pk
  local texts = call('HMGET', key, unpack(m.columns))
  local place = texts[1] and (call('ZSCORE', m.base .. KEY.ids, pk) or '0') or ''
  local row = {tostring(number), pk, tickets.of(m, pk) or '', place, string.format('%.0f', call('PTTL', key))}
  for position, text in ipairs(texts) do
    if text then extend(row, {tostring(position), text}) end
  end
  return row
end

return answer(function()
  local rows = {}
  for _, asked in ipairs(cmsgpack.unpack(ARGV[2])) do
    local m = mutations.model(asked[1])
    if asked[2] then tickets.count_up(m, asked[3]) end
    for _, pk in ipairs(asked[3]) do rows[#rows + 1] = row_of(asked[1], m, pk) end
  end
  return {'ok', rows}
end)
