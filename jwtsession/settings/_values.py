"""Types of settings that accept only some texts: URLs, the keys' prefix, the places of tokens, origins."""

import re
from typing import Annotated, get_args

from pydantic import AfterValidator, SecretStr

from .options import TokenSource

URL_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "valkey",
    "valkeys",
    "valkey+sentinel",
    "valkeys+sentinel",
    "valkey+cluster",
    "valkeys+cluster",
    "embedded",
    "memory",
)


def _known_scheme(value: SecretStr) -> SecretStr:
    scheme, _, rest = value.get_secret_value().partition(":")
    if scheme.lower() not in URL_SCHEMES:
        raise ValueError("must start with one of " + ", ".join(f"{s}://" for s in URL_SCHEMES))
    if scheme.lower() == "memory" and rest != "//":
        raise ValueError("memory:// takes nothing after it: it is this process's own memory")
    return value


def _plain_keyspace(value: str) -> str:
    if not value or not value.isprintable() or "{" in value or "}" in value:
        # In a cluster, a text in braces decides the slot of a key: all sessions would be in one slot.
        raise ValueError("must be printable, not empty and without braces")
    return value


def _each_source_once(value: tuple[TokenSource, ...]) -> tuple[TokenSource, ...]:
    if not value or len(set(value)) != len(value):
        raise ValueError(f"must name one or more of {', '.join(get_args(TokenSource))}, each once")
    return value


# A browser writes an origin in lower case, without a slash at the end and without its scheme's own port (RFC 6454).
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")


def _as_browsers_write_them(value: tuple[str, ...]) -> tuple[str, ...]:
    for each in value:
        origin = _ORIGIN.fullmatch(each)
        if not origin or int(origin["port"] or 1) > 65_535 or re.fullmatch("http:.*:80|https:.*:443", each):
            raise ValueError(
                "each must be scheme://host or scheme://host:port as browsers write it: in lower case, without a path "
                "or a / at the end, and without the scheme's own port"
            )
    return value


# Scheme, host and port as in an origin, and the prefix of a mounted application, without a slash at its end.
_PUBLIC_URL = re.compile(r"(?P<origin>https?://[^/?#]+)(/[A-Za-z0-9._~-]+)*")


def _without_slash(value: str) -> str:
    found = _PUBLIC_URL.fullmatch(value)
    try:
        _as_browsers_write_them((found["origin"],) if found else ("",))
    except ValueError:
        raise ValueError(
            "must be http(s)://host or http(s)://host:port, with a path if there is one: in lower case, without a / at "
            "the end, and without the scheme's own port"
        ) from None
    return value


StoreURL = Annotated[SecretStr, AfterValidator(_known_scheme)]
Keyspace = Annotated[str, AfterValidator(_plain_keyspace)]
Origins = Annotated[tuple[str, ...], AfterValidator(_as_browsers_write_them)]
PublicURL = Annotated[str, AfterValidator(_without_slash)]
TokenSources = Annotated[tuple[TokenSource, ...], AfterValidator(_each_source_once)]
