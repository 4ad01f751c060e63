-- Sessions leave their user's index, unless they were seen since the index was read: a login confirms that way what has
-- been stored meanwhile. KEYS: the index. ARGV: session id and last seen, for each. Returns how many are left.
for i = 1, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[i] .. ':seen') == ARGV[i + 1] then
        redis.call('HDEL', KEYS[1], ARGV[i], ARGV[i] .. ':seen')
    end
end
-- Two fields each, and one for the order.
return math.floor(redis.call('HLEN', KEYS[1]) / 2)
