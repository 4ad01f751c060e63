-- Keep the later of two times. KEYS: the time that is kept. ARGV: another one, in seconds since the epoch.
-- Returns the one that is kept now. What is no time stays: the caller refuses it.
local current = redis.call('GET', KEYS[1])
if current and (not current:find('^%d+%.?%d*$') or tonumber(current) >= tonumber(ARGV[1])) then
    return current
end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
