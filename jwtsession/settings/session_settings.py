"""`SessionSettings`: all settings, from arguments or from the environment. They are checked when they are made."""

from typing import Any, ClassVar, Literal, Self, Unpack

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from .._tracebacks import scrub_traceback
from ._environment import ORIGINAL_NAMES
from ._loaded import LoadedSettings
from ._requirements import check, warn_of_what_never_counts
from ._values import Keyspace, Origins, PublicURL, StoreURL, TokenSources
from .cookie import CookieSettings
from .dpop import DPoPSettings
from .durations import Seconds
from .encryption import EncryptionSettings
from .keys import Key
from .options import Algorithm, CSRFMode, ReuseAction, SettingsOptions
from .rotation import RotationSettings
from .websocket import WebSocketSettings


class SessionSettings(LoadedSettings):
    """The settings of one `SessionProvider`. Immutable.

    Give each setting as an argument, or as an environment variable with the prefix `JWTSESSION_` (`JWTSESSION_SECRET`,
    `JWTSESSION_MAX_AGE`, ...). The names `maxAge`, `requestKey` and `requestArg` of the npm package `jwt-redis-session`
    work too.

    Raises:
        ConfigurationError: A setting is missing or can't work. The message names the setting and never shows a secret.
    """

    model_config = SettingsConfigDict(
        env_prefix="JWTSESSION_",
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        validate_default=True,
        env_parse_none_str="null",
        dotenv_filtering="match_prefix",  # a `.env` also has variables of other programs
    )

    secret: SecretStr | None = None
    """The key that signs and verifies tokens. Required, unless `keys` are given.

    For HS256 it is a random text of at least 32 bytes; HS384 needs 48 bytes, HS512 64 (RFC 7518 section 3.2). Make one
    with `python -c "import secrets; print(secrets.token_urlsafe(64))"`. For the other algorithms it is a private key as
    PEM or JWK, or a public key for a service that only verifies tokens. The key's name in tokens and in `jwks_router`
    is the JWK's own `kid`, or the key's thumbprint (RFC 7638).
    """

    keys: tuple[Key, ...] = Field(default=(), examples=[[{"kid": "2026", "secret": "..."}]])
    """Several named keys, the newest first. The first key that is not `verify_only` signs; all keys verify.

    If `secret` is set too, it verifies tokens that name no key.
    """

    redis_url: StoreURL = SecretStr("redis://localhost:6379/0")
    """The server that holds the sessions: `redis://`, `rediss://` (TLS), `unix://`,
    `redis+sentinel://h1:26379,h2:26379/name/0`, `redis+cluster://h1:6379,h2:6379`, the same with `valkey`, or
    `embedded://` (the application starts its own Valkey server, for development), or `memory://` (this process's own
    memory, for a first try). It is a `SecretStr`, because it may contain a password."""

    keyspace: Keyspace = "sess:"
    """Prefix of the sessions' keys in Redis."""

    max_age: Seconds = Field(default=86_400, ge=1, le=10 * 365 * 86_400)
    """Idle timeout in seconds: a session that nobody uses for this time ends. It is the key's time to live in Redis."""

    max_age_limit: Seconds | None = Field(default=None, ge=1, le=10 * 365 * 86_400)
    """The longest idle timeout in seconds that `create(max_age=...)` may give to one session ("remember me").
    `None`: at most `max_age`."""

    absolute_max_age: Seconds | None = Field(default=30 * 86_400, ge=1, le=10 * 365 * 86_400)
    """Absolute timeout in seconds after the login: the session ends then even if it is used. It sets the token's `exp`.
    `None` issues tokens without `exp` and accepts them, as the Node original does."""

    algorithm: Algorithm = "HS256"
    """The signature algorithm. Tokens with another one are refused. All but HS256, HS384 and HS512 need the extra
    `crypto`."""

    encryption: EncryptionSettings = EncryptionSettings()
    """Encryption at rest: `EncryptionSettings(keys=[...])`, or a mapping with the same names. The environment may set
    what a mapping leaves out."""

    request_key: str = Field(default="session", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The manager of a request is at `request.state.<request_key>`."""

    request_arg: str = Field(default="accessToken", pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    """The token's name in a query or a body. The header's name is derived from it: see `header_name`."""

    token_sources: TokenSources = Field(default=("bearer", "header"), examples=[["bearer"]])
    """The places of a request that may have the token, in this order: `bearer` (`Authorization: Bearer`), `header` (see
    `header_name`), `query`, `body`, `cookie` (for browsers, see `cookie`). A cookie counts only if no other place has a
    token. A login's token goes into the cookie if `cookie` is the first, and into the answer otherwise:
    `create(transport=...)`, or a client's header `Session-Transport: cookie` or `bearer`, decides for one login."""

    multiple_tokens: Literal["refuse", "first"] = "refuse"
    """If two places of a request have different tokens: `refuse` answers 400 (RFC 6750 section 2), `first` takes the
    token of the first place in `token_sources`. Two different tokens in one place are always a 400."""

    cookie: CookieSettings = CookieSettings()
    """The cookie's attributes: `CookieSettings(same_site=...)`, or a mapping with the same names."""

    csrf: CSRFMode = "strict"
    """The defence against requests that another site makes with the user's cookie. `strict` decides by `Origin` and
    `Sec-Fetch-Site`, and refuses what has neither; `lenient` lets that pass; `off` checks nothing."""

    trusted_origins: Origins = Field(default=(), examples=[["https://app.example.com"]])
    """Other origins whose pages may use the cookie: `https://app.example.com`, exactly as browsers write it."""

    csrf_same_site: bool = False
    """Whether pages of other hosts of the same site (`evil.example.com` for `api.example.com`) may use the cookie. Not
    for WebSockets in Chromium, which does not say from which site they come: these need `trusted_origins`."""

    issuer: str | None = None
    """The service's name in the claim `iss`: set in every issued token, and required in every accepted one."""

    audience: str | None = None
    """The service's name in the claim `aud`: set in every issued token, and required in every accepted one."""

    leeway: Seconds = Field(default=0, ge=0, le=60)
    """By how many seconds the clocks of the machines that issue and verify tokens may differ."""

    touch_interval: Seconds = Field(default=60, ge=0)
    """A read extends a session's time to live at most once in so many seconds. 0 extends it at every read, as the Node
    original does. A value above a quarter of `max_age` counts as a quarter of `max_age`."""

    token_cache_bytes: int = Field(default=4 * 1024 * 1024, ge=0)
    """Memory in bytes for verified tokens, in each worker; half of it, and at most 4 MB, has the tokens
    that were used last, about 900 bytes each; the rest has all tokens, 250 bytes each. So the default keeps about
    8,500. A token in the cache is not verified again, but its times are checked at each request. 0 keeps none."""

    near_cache_bytes: int = Field(default=0, ge=0)
    """Memory in bytes for recently read sessions, in each worker. A request that finds its session there asks no
    server. The server tells each worker of changes, so a worker may serve a session for up to a second after another
    worker ended it. 0 keeps none."""

    user_index: bool = False
    """Whether to keep an index of each user's sessions, by the claim `sub`: `list_sessions`, `revoke_all`,
    `destroy_others` and `max_sessions` need it. It costs two or three more round trips at a login, and one in each
    `touch_interval`. The server must not evict keys: `maxmemory-policy noeviction`."""

    user_index_key: SecretStr | None = None
    """The key of the users' names in the index: a random text of at least 32 bytes. The store holds an HMAC of each
    `sub`.

    Without this setting, the names depend on the keys of the tokens, also while you replace those. With an asymmetric
    algorithm everybody who knows the public key can compute the names; to prevent that, give this key to each service.
    After you set or replace it, a session is found under its new name from its next use on.
    """

    capture_client: bool | Literal["coarse"] = False
    """Whether the user's index keeps the client's address and user agent at the login, for `list_sessions`: without
    control characters, and cut to 256 bytes each. `coarse` keeps the address's network (/24, /48) in its place."""

    audit_sub: bool = False
    """Whether events have the users as in the claim `sub`. Otherwise they have an HMAC of each."""

    max_sessions: int | None = Field(default=None, ge=1)
    """The most sessions that a user may have at the same time; needs `user_index`. `None`: with `user_index` at most
    1,000; a login beyond that ends the oldest session."""

    too_many_sessions: Literal["refuse", "evict"] = "refuse"
    """At a login beyond `max_sessions`: `refuse` answers 403, `evict` ends the user's oldest session."""

    websocket: WebSocketSettings = WebSocketSettings()
    """The ways into a WebSocket, and how open sockets and streams end with their session: see `WebSocketSettings`."""

    rotation: RotationSettings = RotationSettings()
    """The replacement of tokens while their session is in use: see `RotationSettings`."""

    on_reuse: ReuseAction | None = None
    """If somebody uses a token that was replaced, by `regenerate()` or by `rotation`: `refuse` answers 401, `end` ends
    the living session too, `end_all` ends all sessions of the token's user, and needs `user_index`. `None`: `refuse`
    without `rotation`, `end` with it."""

    reuse_grace: Seconds = Field(default=10, ge=0, le=300)
    """How many seconds after `regenerate()` a request with the old token is refused and nothing more: it may have been
    under way."""

    dpop: DPoPSettings = DPoPSettings()
    """Proof of possession (DPoP, RFC 9449): see `DPoPSettings`."""

    public_url: PublicURL | None = None
    """The URL at which clients see the application, such as `https://api.example.com` or
    `https://example.com/api`: what clients write before the path of a route. Proofs of `dpop` are for it."""

    token_type_header: Literal["JWT", "at+jwt"] = "JWT"
    """The `typ` in a token's header (RFC 8725 section 3.11). With `at+jwt` tokens say that they are access tokens
    (RFC 9068 section 2.1), and a token that does not say so is refused: users who are logged in at the switch log in
    again."""

    revoke_before: bool = False
    """Whether `SessionProvider.revoke_before()` works: each worker asks the store at most once a second for the time
    before which all tokens are refused."""

    gc_freeze: bool = False
    """Whether the start calls `gc.collect()` and `gc.freeze()`, once in each process: the garbage collector never looks
    again at what the application has made until then. That makes its longest stops of the event loop short. What is
    frozen and becomes garbage later, in a cycle, stays in memory."""

    _node_compatible: ClassVar[bool] = False

    # The type is written by hand: the environment may give required settings, and secrets may be plain texts.
    @scrub_traceback
    def __init__(self, **values: Unpack[SettingsOptions]) -> None:
        super().__init__(**values)

    @classmethod
    def node_compatible(cls, **values: Unpack[SettingsOptions]) -> Self:
        """Make settings that share live sessions with the npm package `jwt-redis-session` on the same Redis.

        As in that package, tokens are looked for in the header, then the query, then the body, and the first one
        counts; tokens have no `exp`; each read restarts the idle timeout. Give all other settings as usual: `secret`,
        `keyspace`, `request_arg` and `max_age` must have the values that the package has.

        Raises:
            ConfigurationError: A setting is missing or can't work.
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
    def is_in_memory(self) -> bool:
        """Whether `redis_url` is `memory://`."""
        return self.redis_url.get_secret_value().lower() == "memory://"

    @property
    def header_name(self) -> str:
        """The header that carries the token. As in the Node original, `accessToken` gives `x-access-token`."""
        prefix = "x" if self.request_arg[0].upper() == self.request_arg[0] else "x-"
        return prefix + "".join(f"-{c.lower()}" if c.upper() == c else c for c in self.request_arg)

    @model_validator(mode="before")
    @classmethod
    def _accept_original_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for original, name in ORIGINAL_NAMES.items():
            if original in values:
                # The argument wins over the environment's value of the same setting.
                values[name] = values.pop(original)
        return values

    @property
    def cookie_name(self) -> str:
        """The name of the cookie that holds the token: see `CookieSettings.name`."""
        return self.cookie.name_for(self.request_key)

    @property
    def reuse_action(self) -> ReuseAction:
        """What happens at the reuse of a token: `on_reuse`, or its default."""
        return self.on_reuse or ("refuse" if self.rotation.after is None else "end")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check(self)
        warn_of_what_never_counts(self)
        return self
