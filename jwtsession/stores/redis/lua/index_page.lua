-- Some of a user's sessions, in their order. KEYS: as index_add.lua.
-- ARGV: the order behind which they begin, how many at most. Returns how many there are in all; then id, order, last seen and
-- data of each.
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local reply = { redis.call('ZCARD', KEYS[1]) }
for i = 1, #found, 2 do
    local known = redis.call('HMGET', KEYS[2], found[i] .. ':seen', found[i])
    reply[#reply + 1] = found[i]
    reply[#reply + 1] = found[i + 1]
    reply[#reply + 1] = known[1] or '0.0'
    reply[#reply + 1] = known[2] or ''
end
return reply
