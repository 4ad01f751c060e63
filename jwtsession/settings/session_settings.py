"""`SessionSettings`: every knob, from arguments or from the environment, checked when they are made."""

import logging
from typing import Any, ClassVar, Literal, Self, Unpack

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from .._tracebacks import scrub_traceback
from ..errors import ConfigurationError
from ._environment import GroupedSource, Variables, not_json, warn_of_unknown_variables
from ._messages import describe
from ._values import Keyspace, StoreURL, TokenSources
from ._weak_secrets import MAKE_ONE, MIN_SECRET_BYTES, check_secret
from .durations import Seconds
from .encryption import EncryptionSettings
from .group import Unpicklable
from .keys import Key
from .options import Algorithm, SettingsOptions

logger = logging.getLogger("jwtsession")

# The names that `jwt-redis-session` gave these settings.
_ORIGINAL_NAMES = {"maxAge": "max_age", "requestKey": "request_key", "requestArg": "request_arg"}


class SessionSettings(Unpicklable, BaseSettings):
    """The settings of one `SessionProvider`. Immutable.

    Each may be given as an argument, or as an environment variable with the prefix `JWTSESSION_`
    (`JWTSESSION_SECRET`, `JWTSESSION_MAX_AGE`, ...). The names `maxAge`, `requestKey` and `requestArg` of the npm
    package `jwt-redis-session` are understood too.

    Raises:
        ConfigurationError: A setting is missing or can't work. The message names it and never shows the secret.
    """

    model_config = SettingsConfigDict(
        env_prefix="JWTSESSION_",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
        env_parse_none_str="null",
        dotenv_filtering="match_prefix",  # other applications' variables stand in a `.env` too
    )

    secret: SecretStr | None = None
    """The key of the tokens; required, unless `keys` are given.

    For HS256 a random text of at least 32 bytes, 48 for HS384, 64 for HS512 (RFC 7518 section 3.2): make one with
    `python -c "import secrets; print(secrets.token_urlsafe(64))"`. For the other algorithms a private key as PEM or
    JWK, or a public key, for a service that only verifies tokens. Its name in tokens and in `jwks_router` is the JWK's
    own `kid`, or its thumbprint (RFC 7638).
    """

    keys: tuple[Key, ...] = Field(default=(), examples=[[{"kid": "2026", "secret": "..."}]])
    """Several keys with names, the newest first: the first that is not `verify_only` signs, all verify.

    With `secret` beside them, tokens without a key's name still verify by it.
    """

    redis_url: StoreURL = SecretStr("redis://localhost:6379/0")
    """Where the sessions live: `redis://`, `rediss://` (TLS), `unix://`, `redis+sentinel://h1:26379,h2:26379/name/0`,
    `redis+cluster://h1:6379,h2:6379`, the same with `valkey`, or `embedded://` (a Valkey server of the application's
    own, for development). A `SecretStr`, because it may hold a password."""

    keyspace: Keyspace = "sess:"
    """Prefix of the session's key in Redis."""

    max_age: Seconds = Field(default=86_400, ge=1, le=10 * 365 * 86_400)
    """Idle timeout in seconds, which is the key's time to live: a session that nobody uses for so long ends."""

    max_age_limit: Seconds | None = Field(default=None, ge=1, le=10 * 365 * 86_400)
    """The longest idle timeout in seconds that `create(max_age=...)` may give to one session ("remember me").
    `None` permits none longer than `max_age`."""

    absolute_max_age: Seconds | None = Field(default=30 * 86_400, ge=1, le=10 * 365 * 86_400)
    """Absolute timeout in seconds, which becomes the token's `exp`: a session ends then, however busy it is.
    `None` issues tokens without `exp` and accepts them, as the original does."""

    algorithm: Algorithm = "HS256"
    """The one signature algorithm that is used and accepted. All but HS256, HS384 and HS512 need the extra `crypto`."""

    encryption: EncryptionSettings = EncryptionSettings()
    """Encryption at rest: `EncryptionSettings(keys=[...])`, or a mapping of the same, to which the environment adds."""

    request_key: str = Field(default="session", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The manager of a request stands at `request.state.<request_key>`."""

    request_arg: str = Field(default="accessToken", pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    """Name of the token in a query or a body. The header's name is derived from it: see `header_name`."""

    token_sources: TokenSources = Field(default=("bearer", "header"), examples=[["bearer"]])
    """Where a token is looked for: `bearer` (`Authorization: Bearer`), `header` (`header_name`), `query`, `body`."""

    multiple_tokens: Literal["refuse", "first"] = "refuse"
    """A request with two different tokens in two places: `refuse` it with 400 (RFC 6750), or take the one of the
    `first` of `token_sources`. One place that holds two different ones is always a 400."""

    issuer: str | None = None
    """The `iss` of every token that is issued, and required of every token that is accepted."""

    audience: str | None = None
    """The `aud` of every token that is issued, and required of every token that is accepted."""

    leeway: Seconds = Field(default=0, ge=0, le=60)
    """Seconds by which the clocks of the machines that issue and verify tokens may differ."""

    touch_interval: Seconds = Field(default=60, ge=0)
    """Seconds between two extensions of a session's time to live by reads: 0 extends at every read, as the original.

    Never more than a quarter of `max_age`: a larger value is taken as that.
    """

    token_cache_bytes: int = Field(default=4 * 1024 * 1024, ge=0)
    """Memory in bytes for tokens that were verified, in each worker: about 900 bytes each, so that a token is not
    verified anew at each request. Its times are checked at each use all the same. 0 keeps none."""

    near_cache_bytes: int = Field(default=0, ge=0)
    """Memory in bytes for sessions that were read lately, in each worker, so that a request that finds its session
    there asks no server. The server tells each worker what changes: a session that was ended elsewhere is served for
    a moment longer, at most a second. 0 keeps none."""

    user_index: bool = False
    """Keep an index of each user's sessions, by the claim `sub`: for `list_sessions`, `revoke_all`, `destroy_others`
    and `max_sessions`. Costs two or three more round trips at a login and one in each `touch_interval`.
    The server must not evict keys: `maxmemory-policy noeviction`."""

    user_index_key: SecretStr | None = None
    """Key of the users' names in the index, a random text of at least 32 bytes: the store holds an HMAC of each `sub`.

    Without it the names depend on the keys of the tokens, also while those are replaced. Those of an asymmetric
    algorithm are no secret here, since a service that only verifies has the public key alone: give this key to each
    service then. When it is set or replaced, sessions are found under the new name as they are next used.
    """

    capture_client: bool = False
    """Keep the client's address and user agent of the login in the user's index, for `list_sessions`: without control
    characters, and cut to 256 bytes each."""

    max_sessions: int | None = Field(default=None, ge=1)
    """The most sessions that a user may have at the same time; needs `user_index`. `None` is 1,000, and beyond that
    the oldest end."""

    too_many_sessions: Literal["refuse", "evict"] = "refuse"
    """A login beyond `max_sessions`: `refuse` it with 403, or `evict` (end) the user's oldest session."""

    _node_compatible: ClassVar[bool] = False

    # Typed by hand: required settings may come from the environment, and secrets are given as plain texts.
    @scrub_traceback
    def __init__(self, **values: Unpack[SettingsOptions]) -> None:
        prefix = self._prefix(values.get("_env_prefix"))
        try:
            super().__init__(**values)
        except ValidationError as error:
            wrong = describe(error, type(self), Variables(type(self), prefix, values))
        except SettingsError as error:
            wrong = not_json(error, type(self), prefix)
        else:
            warn_of_unknown_variables(type(self), prefix)
            self._warn_of_what_never_counts()
            return
        # Outside of the handlers: their errors hold what was given.
        raise ConfigurationError(wrong)

    @classmethod
    def _prefix(cls, given: str | None) -> str:
        return (cls.model_config.get("env_prefix", "") if given is None else given).upper()

    def _warn_of_what_never_counts(self) -> None:
        for name in ("max_age", "max_age_limit"):
            value: int | None = getattr(self, name)
            if name in self.model_fields_set and value and value > (self.absolute_max_age or value):
                logger.warning(
                    "%s=%d never counts: absolute_max_age=%d ends a session before", name, value, self.absolute_max_age
                )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Where pydantic-settings looks for values: the first that has one counts."""
        by_name = (env_settings, dotenv_settings, file_secret_settings)
        return (init_settings, *(GroupedSource(settings_cls, source) for source in by_name))

    @classmethod
    def node_compatible(cls, **values: Unpack[SettingsOptions]) -> Self:
        """The settings that share live sessions with the npm package `jwt-redis-session` on the same Redis.

        Tokens are looked for as it does (header, then query, then body; the first one found counts) and have no `exp`,
        and each read starts the idle timeout again.
        Everything else is given as usual: `secret`, `keyspace`, `request_arg` and `max_age` must be what the original
        was given.

        Raises:
            ConfigurationError: As the constructor does.
        """
        original: SettingsOptions = {
            "token_sources": ("header", "query", "body"),
            "multiple_tokens": "first",
            "absolute_max_age": None,
            "touch_interval": 0,
        }
        settings = cls(**(original | values))
        object.__setattr__(settings, "_node_compatible", True)  # the settings are frozen
        return settings

    @property
    def is_node_compatible(self) -> bool:
        """Whether `node_compatible()` made these settings: the Node original writes to the same sessions."""
        return self._node_compatible

    @property
    def header_name(self) -> str:
        """The header that carries the token: `accessToken` gives `x-access-token`, as the original derives it."""
        prefix = "x" if self.request_arg[0].upper() == self.request_arg[0] else "x-"
        return prefix + "".join(f"-{c.lower()}" if c.upper() == c else c for c in self.request_arg)

    @model_validator(mode="before")
    @classmethod
    def _accept_original_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for original, name in _ORIGINAL_NAMES.items():
            if original in values:
                # The argument wins over the environment's value of the same setting.
                values[name] = values.pop(original)
        return values

    @model_validator(mode="after")
    def _what_others_need(self) -> Self:
        if self.max_age_limit is not None and self.max_age_limit < self.max_age:
            raise ValueError("max_age_limit: must not be less than max_age")
        for name in ("user_index_key", "capture_client", "max_sessions"):
            if getattr(self, name) and not self.user_index:
                raise ValueError(f"{name}: needs user_index=True")
        if "too_many_sessions" in self.model_fields_set and self.max_sessions is None:
            raise ValueError("too_many_sessions: needs max_sessions")
        return self

    @model_validator(mode="after")
    def _good_keys(self) -> Self:
        if self.secret is None and not self.keys:
            remedy = f": {MAKE_ONE}" if self.algorithm in MIN_SECRET_BYTES else ""
            raise ValueError(f"secret: is required: give it as an argument or as JWTSESSION_SECRET{remedy}")
        given = {f"keys: {key.kid!r}": key.secret for key in self.keys}
        if self.secret is not None:
            given["secret"] = self.secret
        if self.algorithm in MIN_SECRET_BYTES:
            for name, key in given.items():
                check_secret(name, key.get_secret_value(), MIN_SECRET_BYTES[self.algorithm], self.algorithm)
        if self.user_index_key is not None:
            check_secret("user_index_key", self.user_index_key.get_secret_value(), 32, "an HMAC")
        return self
