-- What is kept of a session's login is replaced, if the session is in its user's index. KEYS: as index_add.lua.
-- ARGV: session id, its data. Returns 1 where it is there.
local there = redis.call('ZSCORE', KEYS[1], ARGV[1])
if there then
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
return there and 1 or 0
