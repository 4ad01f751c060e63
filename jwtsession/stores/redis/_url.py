"""Reads a `redis_url`. A URL that can't be used is refused when the provider is made, and the message says why."""

import dataclasses
import difflib
import inspect
import math
import re
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import RedisCluster

from ...errors import ConfigurationError


def _integer(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= (number := int(text)) <= most):
            raise ValueError(f"must be a whole number from {least}" + (f" to {most}" if most < 2**31 - 1 else ""))
        return number

    return parse


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError("must be a number of seconds above 0")
    return number


def _boolean(text: str) -> bool:
    if (word := text.lower()) not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        raise ValueError("must be true or false")
    return word in ("true", "1", "yes", "on")


def _bytes_only(text: str) -> bool:
    if _boolean(text):
        raise ValueError("must be false or left out, sessions are bytes")
    return False


def _text(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    return text


def _verification(text: str) -> str:
    if text not in ("required", "optional", "none"):
        raise ValueError("must be required, optional or none")
    return text


def _tls_version(text: str) -> ssl.TLSVersion:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        if text.replace(".", "_") == version.name or text == str(version.value):
            return version
    raise ValueError("must be TLSv1.2 or TLSv1.3")


def _verify_flags(text: str) -> list[ssl.VerifyFlags]:
    try:
        return [ssl.VerifyFlags[name.strip()] for name in text.strip("[]").split(",")]
    except KeyError:
        raise ValueError("must be names of ssl.VerifyFlags with commas between them") from None


_CONNECTION: dict[str, Callable[[str], Any]] = {
    "db": _integer(0),
    "username": _text,
    "password": _text,
    "protocol": _integer(2, 3),
    "client_name": _text,
    "socket_timeout": _seconds,
    "socket_connect_timeout": _seconds,
    "socket_read_size": _integer(1),
    "health_check_interval": _integer(0),
    "retry_on_timeout": _boolean,
    "decode_responses": _bytes_only,
    "max_connections": _integer(1),
    "timeout": _seconds,
}
_TCP: dict[str, Callable[[str], Any]] = {"socket_keepalive": _boolean}
_TLS: dict[str, Callable[[str], Any]] = {
    "ssl_ca_certs": _text,
    "ssl_ca_path": _text,
    "ssl_ca_data": _text,
    "ssl_certfile": _text,
    "ssl_keyfile": _text,
    "ssl_password": _text,
    "ssl_cert_reqs": _verification,
    "ssl_check_hostname": _boolean,
    "ssl_min_version": _tls_version,
    "ssl_ciphers": _text,
    "ssl_include_verify_flags": _verify_flags,
    "ssl_exclude_verify_flags": _verify_flags,
}
SENTINEL_OPTIONS: dict[str, Callable[[str], Any]] = {"sentinel_username": _text, "sentinel_password": _text}
_CLUSTER: dict[str, Callable[[str], Any]] = {"require_full_coverage": _boolean, "dynamic_startup_nodes": _boolean}
_ALL = _CONNECTION | _TCP | _TLS | SENTINEL_OPTIONS | _CLUSTER

_SCHEME = re.compile(r"(redis|rediss|valkey|valkeys|unix)(?:\+(sentinel|cluster))?")
_SCHEMES = "redis, rediss, unix, redis+sentinel, redis+cluster (and the same with valkey and with TLS), or embedded"


@dataclasses.dataclass(frozen=True)
class Place:
    """The servers of the sessions, and how to connect to them."""

    kind: str
    """`sentinel`, `cluster`, or empty for one server."""
    tls: bool
    hosts: list[tuple[str, int]]
    path: str
    """The Unix socket's path, or empty."""
    service: str
    """The name by which the Sentinels know the primary, or empty."""
    options: Mapping[str, Any] = dataclasses.field(repr=False)
    location: str
    """The URL without user, password and options, for a log."""

    @property
    def secrets(self) -> list[str]:
        """The passwords, which no log may show."""
        return [self.options[name] for name in self.options if name.endswith("password")]


def parse(url: str) -> Place:
    """Read a URL.

    Raises:
        ConfigurationError: The URL can't be used. The message says why, and shows no part that may be a password.
    """
    try:
        return _parse(url)
    except ValueError as error:
        wrong = str(error)
    # Raised outside of the handler: the message of an error of another library may show the URL.
    raise ConfigurationError(f"redis_url: {wrong}")


def _parse(url: str) -> Place:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("can't be read as a URL") from None
    found = _SCHEME.fullmatch(parts.scheme)
    if found is None or (found[1] == "unix" and found[2]) or "://" not in url:
        raise ValueError(f"must start with one of {_SCHEMES}, and ://")
    name, kind = found[1], found[2] or ""
    if parts.fragment or (name != "unix" and "@" not in parts.netloc and "@" in parts.path + parts.query):
        raise ValueError("a password or option with one of / ? # @ in it must be percent-encoded")
    user, _, hosts = parts.netloc.rpartition("@")
    options = _options(parts.query, name, kind)
    username, _, password = user.partition(":")
    for option, value in (("username", username), ("password", password)):
        if value:
            options[option] = unquote(value)
    path = unquote(parts.path)
    service = ""
    if name == "unix":
        if hosts or not path.strip("/"):
            raise ValueError("unix:// takes the path of a socket: unix:///run/redis.sock")
        return Place(kind, False, [], path, "", options, f"unix://{path}")
    if kind == "sentinel":
        service, _, path = path.strip("/").partition("/")
        if not service:
            raise ValueError("a Sentinel URL ends in the service's name: host:26379/mymaster")
    addresses = [_host_and_port(each, 26379 if kind == "sentinel" else 6379) for each in hosts.split(",")]
    if len(addresses) > 1 and not kind:
        raise ValueError(f"several hosts need {name}+sentinel:// or {name}+cluster://")
    if path := path.strip("/"):
        options.setdefault("db", _database(path))
    if kind == "cluster" and options.pop("db", 0):
        raise ValueError("a cluster has no database but 0")
    shown = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses)
    rest = [service] if service else []
    rest += [] if kind == "cluster" else [str(options.get("db", 0))]
    location = "/".join([f"{parts.scheme}://{shown}", *rest])
    return Place(kind, name in ("rediss", "valkeys"), addresses, "", service, options, location)


def _options(query: str, name: str, kind: str) -> dict[str, Any]:
    known = _CONNECTION | (_TCP if name != "unix" else {}) | (_TLS if name in ("rediss", "valkeys") else {})
    known |= {"sentinel": SENTINEL_OPTIONS, "cluster": _CLUSTER, "": {}}[kind]
    if kind == "cluster":
        accepted = inspect.signature(RedisCluster.__init__).parameters
        known = {each: parser for each, parser in known.items() if each in accepted or each in ("db", "timeout")}
    options: dict[str, Any] = {}
    for option, value in parse_qsl(query, keep_blank_values=True):
        if option not in known:
            raise ValueError(_unknown(option, known))
        if option in options:
            raise ValueError(f"the option {option} is given twice")
        try:
            options[option] = known[option](value)
        except ValueError as error:
            raise ValueError(f"the option {option} {error}") from None
    return options


def _unknown(option: str, known: Mapping[str, Any]) -> str:
    if option in _TLS or option == "ssl":
        return f"the option {option} is for TLS: " + (
            "leave it out, rediss:// says it" if option == "ssl" and "ssl_ca_certs" in known else "use rediss://"
        )
    if option in SENTINEL_OPTIONS:
        return f"the option {option} is for redis+sentinel://"
    if option in _ALL:
        return f"the option {option} can't be used with this kind of URL"
    near = difflib.get_close_matches(option, known, 1)
    # Show only what looks like a name: the text may be the end of a password that was not percent-encoded.
    shown = f" {option}" if near or re.fullmatch("[a-z_]{1,40}", option) else ""
    return f"unknown option{shown}" + (f", did you mean {near[0]}?" if near else f": there are {', '.join(known)}")


def _database(text: str) -> int:
    try:
        return _integer(0)(text)
    except ValueError:
        raise ValueError("its path is the number of a database: host:6379/0") from None


def _host_and_port(text: str, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("a port must be a number from 1 to 65535") from None
    if not host:
        raise ValueError("names no host: redis://localhost:6379/0")
    if port == 0:
        raise ValueError("a port must be a number from 1 to 65535")
    return unquote(host), default if port is None else port
