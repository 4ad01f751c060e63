-- Compare-and-delete. KEYS: the session. ARGV: expected value.
local current = redis.call('GET', KEYS[1])
if not current then
    return 'gone'
end
if current ~= ARGV[1] then
    return 'conflict'
end
redis.call('DEL', KEYS[1])
return 'done'
