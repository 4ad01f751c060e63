"""`SettingsOptions`: the keyword arguments of `SessionSettings` and `SessionProvider`, for editors and type checkers.

A test compares them with `SessionSettings`.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import SecretStr

from .cookie import CookieOptions, CookieSettings
from .dpop import DPoPOptions, DPoPSettings
from .encryption import EncryptionOptions, EncryptionSettings
from .keys import Key
from .rotation import RotationOptions, RotationSettings
from .websocket import WebSocketOptions, WebSocketSettings

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
TokenSource = Literal["bearer", "header", "query", "body", "cookie"]
ReuseAction = Literal["refuse", "end", "end_all"]
CSRFMode = Literal["strict", "lenient", "off"]


class SettingsOptions(TypedDict, total=False):
    """All settings, the Node original's names for three of them, and pydantic-settings' own arguments."""

    secret: str | SecretStr | None
    keys: Sequence[Key | Mapping[str, Any]]
    redis_url: str | SecretStr
    keyspace: str
    max_age: int | timedelta
    max_age_limit: int | timedelta | None
    absolute_max_age: int | timedelta | None
    algorithm: Algorithm
    encryption: EncryptionSettings | EncryptionOptions
    request_key: str
    request_arg: str
    token_sources: Sequence[TokenSource]
    multiple_tokens: Literal["refuse", "first"]
    cookie: CookieSettings | CookieOptions
    csrf: CSRFMode
    trusted_origins: Sequence[str]
    csrf_same_site: bool
    issuer: str | None
    audience: str | None
    leeway: int | timedelta
    touch_interval: int | timedelta
    token_cache_bytes: int
    near_cache_bytes: int
    user_index: bool
    user_index_key: str | SecretStr | None
    capture_client: bool | Literal["coarse"]
    audit_sub: bool
    max_sessions: int | None
    too_many_sessions: Literal["refuse", "evict"]
    websocket: WebSocketSettings | WebSocketOptions
    rotation: RotationSettings | RotationOptions
    on_reuse: ReuseAction | None
    reuse_grace: int | timedelta
    dpop: DPoPSettings | DPoPOptions
    public_url: str | None
    token_type_header: Literal["JWT", "at+jwt"]
    revoke_before: bool
    gc_freeze: bool

    maxAge: int | timedelta
    requestKey: str
    requestArg: str

    _env_file: Path | str | Sequence[Path | str] | None
    _env_file_encoding: str | None
    _env_prefix: str | None
    _secrets_dir: Path | str | None
