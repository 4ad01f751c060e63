-- Compare-and-set. KEYS: the session. ARGV: expected value, new value, time to live in milliseconds.
local current = redis.call('GET', KEYS[1])
if not current then
    return 'gone'
end
if current == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return 'done'
end
if current == ARGV[2] then
    return 'same'
end
return 'conflict'
