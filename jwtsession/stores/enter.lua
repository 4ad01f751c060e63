-- A session enters its user's index. KEYS: the index.
-- ARGV: session id, entry, last seen, time to live in milliseconds, 1 where it must be there already.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
    if ARGV[5] == '1' then
        return 0
    end
    -- In the order in which they came: who comes later sees all who came before.
    local order = redis.call('HINCRBY', KEYS[1], ':entered', 1)
    redis.call('HSET', KEYS[1], ARGV[1], order .. ' ' .. ARGV[2])
end
redis.call('HSET', KEYS[1], ARGV[1] .. ':seen', ARGV[3])
-- Never shorter than what another of the user's sessions needs.
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[4]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return 1
