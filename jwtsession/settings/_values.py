"""Types of settings that accept only some texts: the store's URL, the keys' prefix, the places of tokens."""

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
)


def _known_scheme(value: SecretStr) -> SecretStr:
    if value.get_secret_value().partition(":")[0].lower() not in URL_SCHEMES:
        raise ValueError("must start with one of " + ", ".join(f"{s}://" for s in URL_SCHEMES))
    return value


def _plain_keyspace(value: str) -> str:
    if not value or not value.isprintable() or "{" in value:
        # In a cluster, a text in braces decides the slot of a key: all sessions would be in one slot.
        raise ValueError("must be printable, not empty and without braces")
    return value


def _each_source_once(value: tuple[TokenSource, ...]) -> tuple[TokenSource, ...]:
    if not value or len(set(value)) != len(value):
        raise ValueError(f"must name one or more of {', '.join(get_args(TokenSource))}, each once")
    return value


StoreURL = Annotated[SecretStr, AfterValidator(_known_scheme)]
Keyspace = Annotated[str, AfterValidator(_plain_keyspace)]
TokenSources = Annotated[tuple[TokenSource, ...], AfterValidator(_each_source_once)]
