-- A session enters its user's index, or is noted there.
-- KEYS: the sessions in their order, and what is known of each.
-- ARGV: session id, its data, last seen ('?' before it: not stored yet), time to live in milliseconds, 1 where it must
-- be there already, how many sessions to name at random.
-- Returns whether it was there, whether it is there, how many there are, its data; then each named one and when it was
-- last seen.
local function live()
    for _, key in ipairs(KEYS) do
        -- Never shorter than what another of the user's sessions needs.
        if redis.call('PTTL', key) < tonumber(ARGV[4]) then
            redis.call('PEXPIRE', key, ARGV[4])
        end
    end
end

local there = redis.call('ZSCORE', KEYS[1], ARGV[1])
if there then
    -- Before anything that needs memory: a full server permits the rest then, which is as long as what it replaces.
    live()
elseif ARGV[5] == '1' then
    return { 0, 0, redis.call('ZCARD', KEYS[1]), '' }
end
local seen = there and redis.call('HGET', KEYS[2], ARGV[1] .. ':seen')
if not there or (seen and seen:sub(1, 1) == '?' and ARGV[3]:sub(1, 1) ~= '?') then
    -- In the order in which they were stored: who comes later sees all who came before.
    redis.call('ZADD', KEYS[1], redis.call('HINCRBY', KEYS[2], ':entered', 1), ARGV[1])
end
if not there then
    redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
redis.call('HSET', KEYS[2], ARGV[1] .. ':seen', ARGV[3])
live()
local reply = { there and 1 or 0, 1, redis.call('ZCARD', KEYS[1]), redis.call('HGET', KEYS[2], ARGV[1]) or '' }
for _, id in ipairs(redis.call('ZRANDMEMBER', KEYS[1], ARGV[6])) do
    reply[#reply + 1] = id
    reply[#reply + 1] = redis.call('HGET', KEYS[2], id .. ':seen') or '0.0'
end
return reply
