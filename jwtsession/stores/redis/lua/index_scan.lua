-- Some of a user's sessions in the format before index_add.lua: one hash, with a session's order before its data.
-- KEYS: the hash. ARGV: the cursor, about how many. Returns the next cursor; then id, last seen and 'order data' of each.
local scanned = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply = { scanned[1] }
for i = 1, #scanned[2], 2 do
    local id = scanned[2][i]
    if not id:find(':', 1, true) then
        reply[#reply + 1] = id
        reply[#reply + 1] = redis.call('HGET', KEYS[1], id .. ':seen') or '0.0'
        reply[#reply + 1] = scanned[2][i + 1]
    end
end
return reply
