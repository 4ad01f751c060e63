-- Remove a session by a write that replicas get, also where it is gone already: WAIT counts replicas that have
-- the connection's last write. KEYS: the session.
if redis.call('DEL', KEYS[1]) == 1 then
    return 1
end
redis.call('SET', KEYS[1], '')
redis.call('DEL', KEYS[1])
return 0
