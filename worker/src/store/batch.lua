-- Writes one part of a batch and its fence, or nothing.
-- KEYS: the fence, n player keys, then the chunk keys of the split entries.
-- ARGV: expected fence ID, fence if every key is written, fence if any is refused, n,
--       expected version and write ID of the n players side by side (27 bytes each, zeros for none; '' if all are),
--       n new values,
--       then per split entry: player (1..n), chunks to check, how many of them to persist, chunks to unlink
--       (the entry's chunk keys follow in KEYS in this order: first those to persist, then the rest to check, then
--       those to unlink).
-- Returns '' when all is written, the refused players as pairs (player, 1 conflict | 2 chunks missing), or, when the
-- fence has another ID, its value (an empty array when it does not exist).
-- Lua's stack takes about 8,000 values at once.
local function each_slice(first, last, call)
  for from = first, last, 4000 do
    call(from, math.min(from + 3999, last))
  end
end

local n = tonumber(ARGV[4])
local expected = ARGV[5]
local sub = string.sub

-- Players who are all new need no look at what is there.
if expected == '' then
  if n > 0 and #ARGV == 5 + n then
    local fence = redis.call('GET', KEYS[1])
    if not fence then
      return {}
    end
    if sub(fence, 6, 23) ~= ARGV[1] then
      return { fence }
    end
    local sets = {}
    for player = 1, n do
      sets[2 * player - 1] = KEYS[player + 1]
      sets[2 * player] = ARGV[5 + player]
    end
    -- The first write is the one that a server refuses (OOM, READONLY, NOREPLICAS); after it the fence always follows.
    if redis.call('MSETNX', unpack(sets)) == 1 then
      redis.call('SET', KEYS[1], ARGV[2])
      return ''
    end
  end
  expected = string.rep('\0', 27 * n)
end

local found = redis.call('MGET', unpack(KEYS, 1, n + 1))
if not found[1] then
  return {}
end
if sub(found[1], 6, 23) ~= ARGV[1] then
  return { found[1] }
end

local missing = {}
local splits = {}
local key = n + 2
for at = 6 + n, #ARGV, 4 do
  local split = { player = tonumber(ARGV[at]), first = key, check = tonumber(ARGV[at + 1]),
                  persist = tonumber(ARGV[at + 2]), unlink = tonumber(ARGV[at + 3]) }
  local exist = 0
  each_slice(key, key + split.check - 1, function(from, to)
    exist = exist + redis.call('EXISTS', unpack(KEYS, from, to))
  end)
  if exist ~= split.check then
    missing[split.player] = true
  end
  key = key + split.check + split.unlink
  splits[#splits + 1] = split
end

local none = string.rep('\0', 27)
local headers = {}
for player = 1, n do
  local value = found[player + 1]
  headers[player] = value and sub(value, 6, 32) or none
end
-- Equal as a whole means equal one by one: no header is longer than 27 bytes.
local all_equal = table.concat(headers) == expected

local sets = {}
local refused = {}
local is_refused = {}
for player = 1, n do
  local equal = all_equal or headers[player] == sub(expected, 27 * player - 26, 27 * player)
  local why = not equal and 1 or missing[player] and 2
  if why then
    refused[#refused + 1] = player
    refused[#refused + 1] = why
    is_refused[player] = true
  else
    sets[#sets + 1] = KEYS[player + 1]
    sets[#sets + 1] = ARGV[5 + player]
  end
end
sets[#sets + 1] = KEYS[1]
sets[#sets + 1] = #refused == 0 and ARGV[2] or ARGV[3]
-- One command writes everything, so that a refusal by the server (OOM, READONLY, NOREPLICAS) comes before any change.
redis.call('MSET', unpack(sets))

for _, split in ipairs(splits) do
  if not is_refused[split.player] then
    for at = split.first, split.first + split.persist - 1 do
      redis.call('PERSIST', KEYS[at])
    end
    local unlink = split.first + split.check
    each_slice(unlink, unlink + split.unlink - 1, function(from, to)
      redis.call('UNLINK', unpack(KEYS, from, to))
    end)
  end
end
if #refused == 0 then
  return ''
end
return refused
