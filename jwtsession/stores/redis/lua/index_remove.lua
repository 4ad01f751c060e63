-- Sessions leave their user's index, unless they were seen since it was read: a login confirms that way what has been
-- stored meanwhile. KEYS: as index_add.lua, or the one hash of the format before it.
-- ARGV: session id and last seen, for each; '*' for whenever that was.
local known = KEYS[#KEYS]
for i = 1, #ARGV, 2 do
    if ARGV[i + 1] == '*' or (redis.call('HGET', known, ARGV[i] .. ':seen') or '0.0') == ARGV[i + 1] then
        redis.call('HDEL', known, ARGV[i], ARGV[i] .. ':seen')
        if #KEYS == 2 then
            redis.call('ZREM', KEYS[1], ARGV[i])
        end
    end
end
return 1
