"""Tests of jwtsession.stores.redis.connect: each URL is understood, or refused at the start with what is wrong."""

import ssl
from typing import Any

import pytest
import redis
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from jwtsession import ConfigurationError, MemorySessionStore, RedisSessionStore, SessionProvider
from jwtsession.stores.redis._url import parse
from jwtsession.stores.redis.cluster import ClusterNodes
from jwtsession.stores.redis.connect import connect
from tests.conftest import SECRET

LOCATIONS = {
    "redis://h": "redis://h:6379/0",
    "REDIS://H:1/2": "redis://h:1/2",
    "redis://h:1/?db=3": "redis://h:1/3",
    "redis://user:se%40cret@h/1": "redis://h:6379/1",
    "redis://:secret@h?socket_timeout=0.5": "redis://h:6379/0",
    "redis://h?password=secret": "redis://h:6379/0",
    "redis://[::1]:7/0": "redis://[::1]:7/0",
    "rediss://h": "rediss://h:6379/0",
    "valkey://h": "valkey://h:6379/0",
    "valkeys://h": "valkeys://h:6379/0",
    "unix:///run/a@b/valkey.sock?db=2": "unix:///run/a@b/valkey.sock",
    "unix://user:secret@/run/valkey.sock": "unix:///run/valkey.sock",
    "redis+sentinel://:secret@a,b:1/mymaster/2": "redis+sentinel://a:26379,b:1/mymaster/2",
    "valkey+sentinel://a/mymaster?sentinel_password=secret": "valkey+sentinel://a:26379/mymaster/0",
    "rediss+sentinel://a/mymaster": "rediss+sentinel://a:26379/mymaster/0",
    "valkeys+sentinel://a/mymaster": "valkeys+sentinel://a:26379/mymaster/0",
    "redis+cluster://a,b:1": "redis+cluster://a:6379,b:1",
    "valkey+cluster://a:1/0": "valkey+cluster://a:1",
    "valkeys+cluster://a:1": "valkeys+cluster://a:1",
}


@pytest.mark.parametrize("url", LOCATIONS)
async def test_every_url_is_understood_and_says_where_it_leads(url: str) -> None:
    """The location names servers, service and database, and neither user, password nor options; so does the repr."""
    store = RedisSessionStore(url)
    assert store.location == LOCATIONS[url]
    assert repr(store) == f"RedisSessionStore({LOCATIONS[url]!r}, keyspace='sess:')"
    assert "secret" not in repr(parse(url))
    servers = connect(parse(url))
    client = servers.client
    assert isinstance(client, RedisCluster) == isinstance(servers, ClusterNodes) == ("cluster" in url)
    if isinstance(client, Redis):
        assert isinstance(client.connection_pool, BlockingConnectionPool)
        secure = "ssl" in str(client.connection_pool.connection_class).lower()
        assert secure == url.startswith(("rediss", "valkeys"))


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "unix:///run/valkey.sock"])
def test_a_connection_searches_no_installed_package(url: str) -> None:
    """redis-py reads its own version once, and not for each connection."""
    kept = connect(parse(url)).client.connection_pool
    told = [kept.make_connection().driver_info for _ in range(2)]
    assert told[0] is told[1]
    assert (told[0].formatted_name, told[0].lib_version) == ("redis-py", redis.__version__)


async def test_other_stores_say_where_they_are_too() -> None:
    """A client of one's own, a store in memory, an embedded server."""
    async with Redis(host="h", port=1, db=2, password="secret") as client:
        assert RedisSessionStore(client=client).location == "redis://h:1/2"
    async with Redis(unix_socket_path="/run/valkey.sock") as client:
        assert RedisSessionStore(client=client).location == "unix:///run/valkey.sock"
    assert RedisSessionStore(client=RedisCluster(host="h", port=1)).location == "redis+cluster://h:1"
    assert RedisSessionStore("embedded://").location == "embedded://"
    assert MemorySessionStore().location == "memory://"


async def test_what_the_url_says_reaches_the_connection() -> None:
    """Credentials with any character, options as the types that redis-py wants, and a Unix socket's path."""
    client = connect(
        parse("rediss://us%2Fer:p%40ss@h/1?socket_timeout=0.5&ssl_cert_reqs=none&ssl_check_hostname=false")
    ).client
    assert isinstance(client, Redis)
    options = client.connection_pool.connection_kwargs
    assert (options["username"], options["password"], options["db"]) == ("us/er", "p@ss", 1)
    assert (options["socket_timeout"], options["socket_connect_timeout"]) == (0.5, 1.0)
    assert client.connection_pool.connection_class is SSLConnection
    client = connect(parse("unix:///run/val%20key.sock?db=3")).client
    assert isinstance(client, Redis)
    options = client.connection_pool.connection_kwargs
    assert client.connection_pool.connection_class is UnixDomainSocketConnection
    assert (options["path"], options["db"]) == ("/run/val key.sock", 3)
    options = parse("rediss://h?ssl_min_version=TLSv1.3&ssl_exclude_verify_flags=VERIFY_X509_STRICT").options
    assert options["ssl_min_version"] is ssl.TLSVersion.TLSv1_3
    assert options["ssl_exclude_verify_flags"] == [ssl.VerifyFlags.VERIFY_X509_STRICT]


async def test_sentinels_have_a_user_and_password_of_their_own() -> None:
    """Those in the URL's front are the servers'; what tells whom to trust counts for both."""
    url = "rediss+sentinel://ann:one@a/m?sentinel_username=bob&sentinel_password=two&ssl_ca_certs=/ca&protocol=3"
    client = connect(parse(url)).client
    assert isinstance(client, Redis)
    pool: Any = client.connection_pool
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("ann", "one")
    assert pool.connection_kwargs["protocol"] == 3
    assert not [name for name in pool.connection_kwargs if name.startswith("sentinel_")]
    theirs = pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs
    assert (theirs["username"], theirs["password"], theirs["protocol"]) == ("bob", "two", 2)
    assert theirs["ssl_ca_certs"] == "/ca"


REFUSED = {
    "": "must start with one of",
    "localhost:6379": "must start with one of",
    "http://h": "must start with one of",
    "redis:h": "must start with one of",
    "redis+tls://h": "must start with one of",
    "unix+sentinel:///s/m": "must start with one of",
    "redis://": "names no host",
    "redis:///0": "names no host",
    "redis://:1/0": "names no host",
    "redis://h/abc": "its path is the number of a database",
    "redis://h/-1": "its path is the number of a database",
    "redis://h/1/2": "its path is the number of a database",
    "redis://h:abc": "a port must be a number",
    "redis://h:0": "a port must be a number",
    "redis://h:65536": "a port must be a number",
    "redis://[::1": "can't be read as a URL",
    "redis://a,b/0": r"several hosts need redis\+sentinel:// or redis\+cluster://",
    "redis://h?family=0": "unknown option family: there are db, ",
    "redis://h?socket_timout=1": "unknown option socket_timout, did you mean socket_timeout?",
    "redis://h?ssl=true": "the option ssl is for TLS: use rediss://",
    "rediss://h?ssl=true": "the option ssl is for TLS: leave it out",
    "redis://h?ssl_ca_certs=/ca": "the option ssl_ca_certs is for TLS: use rediss://",
    "redis://h?decode_responses=true": "the option decode_responses must be false or left out, sessions are bytes",
    "redis://h?socket_timeout=abc": "the option socket_timeout must be a number of seconds above 0",
    "redis://h?socket_timeout=nan": "the option socket_timeout must be a number of seconds above 0",
    "redis://h?socket_timeout=": "the option socket_timeout must be a number of seconds above 0",
    "redis://h?max_connections=0": "the option max_connections must be a whole number from 1",
    "redis://h?protocol=4": "the option protocol must be a whole number from 2 to 3",
    "redis://h?socket_keepalive=maybe": "the option socket_keepalive must be true or false",
    "redis://h?db=1&db=2": "the option db is given twice",
    "redis://h?client_name=": "the option client_name is empty",
    "rediss://h?ssl_cert_reqs=never": "the option ssl_cert_reqs must be required, optional or none",
    "rediss://h?ssl_min_version=1": "the option ssl_min_version must be TLSv1.2 or TLSv1.3",
    "rediss://h?ssl_exclude_verify_flags=ALL": "the option ssl_exclude_verify_flags must be names of ssl.VerifyFlags",
    "redis://h?sentinel_password=a": r"the option sentinel_password is for redis\+sentinel://",
    "redis://h?require_full_coverage=false": "the option require_full_coverage can't be used with this kind of URL",
    "unix:///s?socket_keepalive=true": "the option socket_keepalive can't be used with this kind of URL",
    "unix://": "unix:// takes the path of a socket",
    "unix://host/s": "unix:// takes the path of a socket",
    "redis+sentinel://a": "a Sentinel URL ends in the service's name",
    "redis+sentinel://a/m/abc": "its path is the number of a database",
    "redis+cluster://a/3": "a cluster has no database but 0",
    "redis+cluster://a,/0": "names no host",
    "redis+cluster://a?retry_on_timeout=true": "the option retry_on_timeout can't be used with this kind of URL",
    "redis://h/0#x": "a password or option with one of / .* must be percent-encoded",
}


@pytest.mark.parametrize("url", REFUSED)
async def test_what_can_not_be_used_is_refused_at_start(url: str) -> None:
    """When the provider is made, by the setting's name, with what is wrong and what would be right."""
    with pytest.raises(ConfigurationError, match=f"^redis_url: {REFUSED[url]}") as caught:
        SessionProvider(secret=SECRET, redis_url=url)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://:se?cret@h/0",
        "redis://:se?db=cret@h/0",
        "redis://:se/cret@h/0",
        "redis://:se#cret@h/0",
        "redis://user:x@se?cret@h/0",
        "redis://:secret@h:port/0",
        "redis://:secret@h/abc",
        "redis://:secret@h?password=secret&db=secret",
        "redis://h?sentinel_password=secret",
        "redis+cluster://:secret@a/3",
    ],
)
async def test_no_part_of_a_password_is_shown(url: str) -> None:
    """Also where it was not encoded, so that its end looks like a path or an option."""
    with pytest.raises(ConfigurationError) as caught:
        RedisSessionStore(url)
    assert "cret" not in str(caught.value)
