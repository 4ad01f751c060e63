"""`TokenCodec`: issues tokens, and is strict about those that come back, before any key is tried."""

import base64
import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from ..errors import ExpiredTokenError, InvalidArgumentError, InvalidTokenError
from ..models import Claims
from .keys import KeyRing

C = TypeVar("C", bound=Claims)

MAX_TOKEN_CHARS = 8_192
MAX_HEADER_CHARS = 1_024
"""Of the JOSE header as it stands in the token: it is parsed before the signature is checked, whoever sent it."""

# RFC 7515 section 3.1: the compact form, base64url without padding.
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

# At least 128 bits; also a UUID, which the original uses. Nothing that could leave the keyspace.
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{22,128}")

# RFC 8725 section 3: no key from the token, no compression, no nesting; RFC 7797: no JWT has b64; we know no `crit`.
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "zip", "cty", "crit", "b64"})

_REGISTERED = ("sub", "iss", "aud", "iat", "nbf", "exp", "jti", "auth_time", "jwtsession_idle_timeout", "scope")

# The largest integer that every JSON reader keeps exactly; also far beyond any date.
_MAX_NUMBER = 2**53

# As seconds the year 5138; as milliseconds 1973.
_MILLISECONDS = 10**11


def is_session_id(value: object) -> bool:
    """Whether this has the form of a session's id: 22 to 128 characters of base64url."""
    return isinstance(value, str) and _SESSION_ID.fullmatch(value) is not None


class VerifiedToken(NamedTuple):
    """A genuine token, and of its claims those that decide whether it is valid now and what it proves."""

    token: str
    session_id: str
    exp: float | None
    nbf: float | None
    iat: float | None
    auth_time: float | None
    jwtsession_idle_timeout: int | None

    def __repr__(self) -> str:
        return "VerifiedToken()"


class TokenCodec(Generic[C]):
    """Issues and verifies the tokens of one service, of one algorithm.

    Args:
        keys: Signs and verifies.
        claims_model: What `decode` returns.
        issuer: `iss` of every token, where given.
        audience: `aud` of every token, where given; without it a token with an `aud` is refused.
        absolute_max_age: Seconds from issue to `exp`. `None` issues tokens without `exp` and accepts them.
        leeway: Seconds by which clocks may differ.
        cache_bytes: How much memory verified tokens may take, so that they are not verified at each request.
            Their times are checked at each use all the same. 0 keeps none.
        clock: The time in seconds since the epoch.
    """

    def __init__(
        self,
        keys: KeyRing,
        claims_model: type[C],
        *,
        issuer: str | None = None,
        audience: str | None = None,
        absolute_max_age: int | None = None,
        leeway: int = 0,
        cache_bytes: int = 0,
        clock: Callable[[], float],
    ) -> None:
        self._cache = _Cache(cache_bytes)
        self._keys = keys
        self._model = claims_model
        self._issuer = issuer
        self._audience = audience
        self._absolute_max_age = absolute_max_age
        self._leeway = leeway
        self._clock = clock

    def encode(
        self, session_id: str, claims: C | None = None, *, sign_in: bool = True, idle_timeout: int | None = None
    ) -> tuple[str, C]:
        """A token for the session, and the claims as they stand in it.

        `iss`, `aud`, `iat` and `exp` are filled in where the caller left them out, and `auth_time` at a sign-in. `exp`
        is never later than `absolute_max_age` allows.

        Args:
            session_id: Becomes the `jti`.
            claims: All other claims.
            sign_in: The user has just proved who they are.
            idle_timeout: Seconds; becomes the claim `jwtsession_idle_timeout`, where given.

        Raises:
            InvalidArgumentError: The claims set `jti`, have no JSON form, or make a token that `decode` would refuse.
        """
        now = self._clock()
        payload = self._payload(claims)
        payload["jti"] = session_id
        if idle_timeout is not None:
            payload["jwtsession_idle_timeout"] = idle_timeout
        payload.setdefault("iat", int(now))
        if "sub" in payload and sign_in:
            payload.setdefault("auth_time", int(now))
        if self._issuer is not None:
            payload.setdefault("iss", self._issuer)
        if self._audience is not None:
            payload.setdefault("aud", self._audience)
        if self._absolute_max_age is not None:
            latest = int(now) + self._absolute_max_age
            exp = payload.setdefault("exp", latest)
            if _is_number(exp) and exp > latest:
                payload["exp"] = latest
        try:
            token = self._keys.sign(payload)
            issued = self.claims(self._verify(token))
        except InvalidArgumentError:
            raise
        except (InvalidTokenError, ValueError, TypeError, RecursionError) as error:
            reason = error.code if isinstance(error, InvalidTokenError) else type(error).__name__
            raise InvalidArgumentError(f"these claims make a token that would be refused: {reason}") from None
        self._check_times(payload, now)
        return token, issued

    def decode(self, token: object) -> C:
        """The claims of a genuine token that is valid now.

        Raises:
            InvalidTokenError: Anything is wrong with it; `code` says what.
            ExpiredTokenError: It is genuine, but its `exp` has passed.
        """
        return self.claims(self.verify(token))

    def verify(self, token: object) -> VerifiedToken:
        """As `decode`, for those who may not need the claims: they are checked, but not kept."""
        verified = self._verify(token)
        now = self._clock()
        if verified.exp is not None and now >= verified.exp + self._leeway:
            raise ExpiredTokenError
        if verified.nbf is not None and now < verified.nbf - self._leeway:
            raise InvalidTokenError("token_not_yet_valid")
        if verified.iat is not None and now < verified.iat - self._leeway:
            raise InvalidTokenError("token_issued_in_future")
        if verified.auth_time is not None and now < verified.auth_time - self._leeway:
            # Or it would be fresh for as long as it lies ahead: milliseconds for ever.
            raise InvalidTokenError("token_authenticated_in_future")
        return verified

    def claims(self, verified: VerifiedToken) -> C:
        """The claims of a token, made anew at each call: a change to them is nobody else's.

        Raises:
            InvalidTokenError: A validator of the caller's own that has changed its mind.
        """
        return self._read(_unbase64(verified.token.split(".")[1]))

    def _check_times(self, payload: Mapping[str, Any], now: float) -> None:
        """Refuse to issue what would never be valid, or for longer than anybody meant."""
        exp, nbf = payload.get("exp"), payload.get("nbf")
        if exp is not None and exp <= now:
            raise InvalidArgumentError("these claims make a token that has expired: exp")
        if nbf is not None and exp is not None and nbf >= exp:
            raise InvalidArgumentError("these claims make a token that expires before it is valid: nbf")
        for name in ("iat", "auth_time"):
            if payload.get(name, 0) > now + self._leeway:
                raise InvalidArgumentError(
                    f"{name}: lies in the future, by more than leeway: give seconds since the epoch, not milliseconds"
                )
        for name in ("exp", "nbf"):
            if payload.get(name, 0) >= _MILLISECONDS:
                raise InvalidArgumentError(f"{name}: give seconds since the epoch, not milliseconds")

    def _payload(self, claims: C | None) -> dict[str, Any]:
        if claims is None:
            return {}
        if not isinstance(claims, self._model):
            raise InvalidArgumentError(f"expected {self._model.__name__}, got {type(claims).__name__}")
        if claims.jti is not None:
            raise InvalidArgumentError("jti is reserved: it is the session's id")
        try:
            payload = claims.model_dump(mode="json", by_alias=True, warnings=False)
        except (ValueError, RecursionError) as error:  # bytes that are no text are a UnicodeDecodeError
            raise InvalidArgumentError(f"the claims have no JSON form ({type(error).__name__})") from None
        return {name: value for name, value in payload.items() if value is not None or name not in _REGISTERED}

    def _verify(self, token: object) -> VerifiedToken:
        """Everything but the times."""
        if not isinstance(token, str) or len(token) > MAX_TOKEN_CHARS:
            raise InvalidTokenError("token_malformed")
        verified = self._cache.get(token)
        if verified is None:
            payload = self._signed(token)
            found = _parsed(payload)
            self._check_claims(found)
            self._read(payload)  # the caller's own validators
            verified = VerifiedToken(
                token, found["jti"], *map(found.get, ("exp", "nbf", "iat", "auth_time", "jwtsession_idle_timeout"))
            )
            self._cache.put(verified)
        return verified

    def _read(self, payload: bytes) -> C:
        try:
            return self._model.model_validate_json(payload)
        except Exception:
            # A validator of the caller's own may raise anything; the token's answer is 401 all the same.
            raise InvalidTokenError("token_claims") from None

    def _signed(self, token: str) -> bytes:
        """The payload of a token of the right form that a trusted key has signed (RFC 7515 section 5.2)."""
        form = _COMPACT.fullmatch(token)
        if form is None:
            raise InvalidTokenError("token_malformed")
        header, payload, signature = form.groups()
        if len(header) > MAX_HEADER_CHARS:
            raise InvalidTokenError("token_malformed")
        kid = self._checked_kid(_parsed(_unbase64(header)))
        if not self._keys.verify(kid, f"{header}.{payload}".encode(), _unbase64(signature)):
            raise InvalidTokenError("token_signature")
        return _unbase64(payload)

    def _checked_kid(self, header: dict[str, Any]) -> str | None:
        if header.get("alg") != self._keys.algorithm:
            raise InvalidTokenError("token_algorithm")
        if not _REFUSED_HEADERS.isdisjoint(header):
            raise InvalidTokenError("token_header")
        kid = header.get("kid")
        if header.get("typ", "JWT") != "JWT" or not isinstance(kid, str | None) or ("kid" in header and kid is None):
            raise InvalidTokenError("token_header")
        return kid

    def _check_claims(self, claims: dict[str, Any]) -> None:
        for name in ("exp", "nbf", "iat", "auth_time"):
            if name in claims and not _is_number(claims[name]):
                raise InvalidTokenError("token_claims")
        idle = claims.get("jwtsession_idle_timeout", 1)
        if type(idle) is not int or not 0 < idle <= _MAX_NUMBER:
            raise InvalidTokenError("token_claims")
        for name in ("iss", "sub", "scope"):
            if name in claims and not isinstance(claims[name], str):
                raise InvalidTokenError("token_claims")
        if not is_session_id(claims.get("jti")):
            raise InvalidTokenError("token_claims")
        if "exp" not in claims and self._absolute_max_age is not None:
            raise InvalidTokenError("token_claims")
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise InvalidTokenError("token_issuer")
        if "aud" in claims or self._audience is not None:
            audiences = claims.get("aud")
            if isinstance(audiences, str):
                audiences = [audiences]
            if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
                raise InvalidTokenError("token_audience")
            if self._audience not in audiences:
                raise InvalidTokenError("token_audience")


class _Cache:
    """Tokens that were verified, by their exact text; the least recently used go first."""

    _OVERHEAD = 700  # bytes of an entry beside its texts

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        # A plain dict that loses its first key again and again takes ever longer to find the next one.
        self._verified: OrderedDict[str, VerifiedToken] = OrderedDict()

    def get(self, token: str) -> VerifiedToken | None:
        verified = self._verified.get(token)
        if verified is not None:
            self._verified.move_to_end(token)
        return verified

    def put(self, verified: VerifiedToken) -> None:
        if not self._limit:
            return
        self._verified[verified.token] = verified
        self._size += self._cost(verified)
        while self._size > self._limit:
            self._size -= self._cost(self._verified.popitem(last=False)[1])

    def _cost(self, verified: VerifiedToken) -> int:
        return len(verified.token) + len(verified.session_id) + self._OVERHEAD


def _unbase64(segment: str) -> bytes:
    try:
        value = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        raise InvalidTokenError("token_malformed") from None
    if base64.urlsafe_b64encode(value).rstrip(b"=") != segment.encode():
        # Unused bits at the end: a second spelling of the same bytes.
        raise InvalidTokenError("token_malformed")
    return value


def _parsed(value: bytes) -> dict[str, Any]:
    """A JSON object of strict UTF-8, with unique members and finite numbers; anything else is malformed."""
    try:
        text = value.decode("utf-8")
        found = _json.decode(text)
        if "\\u" in text:
            # Half of a surrogate pair is no character: it would fail later, when somebody encodes it.
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise InvalidTokenError("token_malformed") from None
    if not isinstance(found, dict):
        raise InvalidTokenError("token_malformed")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_json = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and -_MAX_NUMBER <= value <= _MAX_NUMBER  # type: ignore[operator]
