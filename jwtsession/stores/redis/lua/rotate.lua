-- The table of rotation: see `judge` in stores/generations.py.
-- KEYS: a session's newest generation. ARGV: the presented generation, now and the grace in milliseconds, 1 where the
-- next generation is due, time to live in milliseconds. Returns the verdict, and the newest generation.
local held = redis.call('HMGET', KEYS[1], 'gen', 'used')
local presented, newest, used = tonumber(ARGV[1]), tonumber(held[1] or -1), tonumber(held[2] or 0)
local verdict
if presented > newest then
    -- The token is signed by us: this server has lost a write, by a failover.
    newest, used = presented, 0
end
if presented == newest and ARGV[4] == '1' then
    verdict, newest, used = 'rotated', newest + 1, 0
elseif presented == newest then
    verdict = 'current'
    if used == 0 then
        used = tonumber(ARGV[2])
    end
elseif presented == newest - 1 and used == 0 then
    verdict = 'again'
elseif presented == newest - 1 and tonumber(ARGV[2]) - used < tonumber(ARGV[3]) then
    verdict = 'late'
else
    verdict = 'reuse'
end
local function exact(number)
    return string.format('%.0f', number)
end
redis.call('HSET', KEYS[1], 'gen', exact(newest), 'used', exact(used), 'until', exact(ARGV[2] + ARGV[5]))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return { verdict, exact(newest) }
