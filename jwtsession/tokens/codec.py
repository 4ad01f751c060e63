"""`TokenCodec`: issues tokens, and strictly verifies the tokens that clients send."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic

from .._types import C
from ..errors import InvalidArgumentError, InvalidTokenError
from .cache import CountedTokenCache, TokenCache, VerifiedToken
from .checks import check_claims, check_new_times, check_times, is_number
from .claims import REGISTERED, changes_registered, check_claims_model
from .compact import payload_of, read_json, signed_payload
from .keys import KeyRing
from .tickets import TicketRecord, read_record, sign_record

if TYPE_CHECKING:
    from ..observability import Telemetry

_RESERVED = {
    "jti": "the session's id",
    "gen": "counted by the rotation of tokens",
    "cnf": "the key of the client's proof",
    "act": "who acts for the user: impersonate() sets it",
}


_READ = VerifiedToken._fields[2 : VerifiedToken._fields.index("jkt")]
"""The claims that a verified token has as they are."""


class TokenCodec(Generic[C]):
    """Issues and verifies the tokens of one service, with one algorithm.

    Args:
        keys: Signs and verifies.
        claims_model: The model of the claims.
        issuer: The `iss` of every token; None sets none and accepts any.
        audience: The `aud` of every token; None sets none and refuses a token that has one.
        absolute_max_age: Seconds from the issue to `exp`. None issues tokens without `exp`, and accepts them.
        leeway: By how many seconds clocks may differ.
        cache_bytes: How many bytes of memory the cache of verified tokens may take, so that a token is not verified
            again at each request. Its times are checked at each request all the same. 0 keeps none.
        accepts_bound: Whether tokens may be bound to a key. The caller must check their proofs.
        typ: What the header of each token says that it is: "JWT", or "at+jwt" (RFC 9068 section 2.1).
        telemetry: Counts the questions to the cache; None without OpenTelemetry.
        clock: Returns the time in seconds since the epoch.
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
        accepts_bound: bool = False,
        typ: str = "JWT",
        telemetry: "Telemetry | None" = None,
        clock: Callable[[], float],
    ) -> None:
        self._cache = (
            TokenCache(cache_bytes) if telemetry is None else CountedTokenCache(cache_bytes, telemetry.token_cache)
        )
        self._keys = keys
        check_claims_model(claims_model)
        self._model = claims_model
        self._issuer = issuer
        self._audience = audience
        self._absolute_max_age = absolute_max_age
        self._leeway = leeway
        self._accepts_bound = accepts_bound
        self._typ = typ
        self._clock = clock

    def encode(
        self,
        session_id: str,
        claims: C | None = None,
        *,
        sign_in: bool = True,
        idle_timeout: int | None = None,
        persistent: bool | None = None,
        gen: int | None = None,
        jkt: str | None = None,
        actor: str | None = None,
        until: float | None = None,
    ) -> tuple[VerifiedToken, C]:
        """Issue a token for a session. The new token is verified as any other token.

        This fills in `iss`, `aud`, `iat` and `exp` if the caller left them out, and `auth_time` at a sign-in. It moves
        an `exp` that is later than `absolute_max_age` allows.

        Args:
            session_id: The session's id: the claim `jti`.
            claims: All other claims.
            sign_in: Whether the user has just signed in.
            idle_timeout: The session's own idle timeout in seconds: the claim `jwtsession_idle_timeout`. None sets no
                such claim.
            persistent: The claim `jwtsession_persistent`. None sets no such claim.
            gen: The claim `gen`. None sets no such claim.
            jkt: The thumbprint of the key to which the token is bound: the claim `cnf`. None sets no such claim.
            actor: Who acts for the user: the `sub` in the claim `act`. None sets no such claim.
            until: The latest `exp`, in seconds since the epoch, if `absolute_max_age` allows it.

        Returns:
            The token, and its claims.

        Raises:
            InvalidArgumentError: The claims set `jti`, `gen`, `cnf` or `act`, have no JSON form, or would make a token
                that `decode` refuses; or no key can sign.
        """
        now = self._clock()
        payload = self._payload(claims)
        payload["jti"] = session_id
        if idle_timeout is not None:
            payload["jwtsession_idle_timeout"] = idle_timeout
        if persistent is not None:
            payload["jwtsession_persistent"] = persistent
        if gen is not None:
            payload["gen"] = gen
        if jkt is not None:
            payload["cnf"] = {"jkt": jkt}
        if actor is not None:
            payload["act"] = {"sub": actor}
        payload.setdefault("iat", int(now))
        if "sub" in payload and sign_in:
            payload.setdefault("auth_time", int(now))
        if self._issuer is not None:
            payload.setdefault("iss", self._issuer)
        if self._audience is not None:
            payload.setdefault("aud", self._audience)
        ends: list[float] = [int(now) + self._absolute_max_age] if self._absolute_max_age is not None else []
        if until is not None:
            ends.append(until)
        if ends:
            latest = min(ends)
            exp = payload.setdefault("exp", latest)
            if is_number(exp) and exp > latest:
                payload["exp"] = latest
        verified, issued = self._signed(payload)
        check_new_times(verified, now, self._leeway)
        return verified, issued

    def renew(self, verified: VerifiedToken, gen: int, now: float) -> tuple[VerifiedToken, C]:
        """Issue the next token of the same session, with the same claims. Only `gen` and `iat` are new.

        Args:
            verified: A token of the session.
            gen: The claim `gen`.
            now: The time of the issue in seconds since the epoch: the claim `iat`.

        Returns:
            The token, and its claims.

        Raises:
            InvalidArgumentError: The model of the claims refuses now what it accepted before; or no key can sign.
        """
        return self._signed(read_json(payload_of(verified.token)) | {"gen": gen, "iat": int(now)})

    def decode(self, token: object) -> C:
        """Verify a token and return its claims.

        Raises:
            InvalidTokenError: The token is not genuine or not valid. `code` says why.
            ExpiredTokenError: The token is genuine, but its `exp` has passed.
        """
        return self.claims(self.verify(token))

    def verify(self, token: object) -> VerifiedToken:
        """As `decode`, for a caller that may not need the claims: they are checked, but no model of them is kept."""
        if not isinstance(token, str):
            raise InvalidTokenError("token_malformed")
        verified = self._cache.get(token)
        if verified is None:
            verified, _ = self._read(token)
        check_times(verified, self._clock(), self._leeway)
        return verified

    def encode_ticket(self, ticket: str, verified: VerifiedToken, origin: str | None, by_cookie: bool = False) -> bytes:
        """Return what the store holds for a ticket.

        Args:
            ticket: The ticket's name in the store.
            verified: The token that asks for the ticket.
            origin: A name of the origin that asks for it.
            by_cookie: Whether the token is in a cookie.

        Raises:
            InvalidArgumentError: No key may sign: this service only verifies tokens.
        """
        return sign_record(self._keys, ticket, TicketRecord(verified.token.split(".")[1], origin, by_cookie))

    def verify_ticket(self, ticket: str, stored: bytes) -> tuple[VerifiedToken, TicketRecord]:
        """Verify what the store held for a ticket, and its claims, as `verify` does with a token.

        Returns:
            The claims, which have no token, and what else is known of the ticket.

        Raises:
            InvalidTokenError: No trusted key signed it, it is another ticket's, or a claim is wrong.
            ExpiredTokenError: The `exp` of the claims has passed.
        """
        record = read_record(self._keys, ticket, stored)
        text = f"{ticket}.{record.claims}."
        verified, _ = self._checked(text, payload_of(text))
        check_times(verified, self._clock(), self._leeway)
        return verified, record

    def claims(self, verified: VerifiedToken) -> C:
        """Return a verified token's claims: a new instance at each call, so a change to it affects nobody else.

        Raises:
            InvalidTokenError: A validator of the application refuses claims that it accepted before.
        """
        return self._model_of(payload_of(verified.token))

    def _signed(self, payload: dict[str, Any]) -> tuple[VerifiedToken, C]:
        try:
            return self._read(self._keys.sign(payload, self._typ))
        except InvalidArgumentError:
            raise
        except (InvalidTokenError, ValueError, TypeError, RecursionError) as error:
            reason = error.code if isinstance(error, InvalidTokenError) else type(error).__name__
            raise InvalidArgumentError(f"these claims make a token that would be refused: {reason}") from None

    def _payload(self, claims: C | None) -> dict[str, Any]:
        if claims is None:
            return {}
        if not isinstance(claims, self._model):
            raise InvalidArgumentError(f"expected {self._model.__name__}, got {type(claims).__name__}")
        try:
            payload = claims.model_dump(mode="json", by_alias=True, warnings=False)
        except (ValueError, RecursionError) as error:  # a `bytes` field that is no UTF-8 raises UnicodeDecodeError
            raise InvalidArgumentError(f"the claims have no JSON form ({type(error).__name__})") from None
        for name, what in _RESERVED.items():
            if payload.get(name) is not None:
                raise InvalidArgumentError(f"{name} is reserved: it is {what}")
        return {name: value for name, value in payload.items() if value is not None or name not in REGISTERED}

    def _read(self, token: str) -> tuple[VerifiedToken, C]:
        """Check a token's signature and claims, but not its times. Return the token and its claims."""
        verified, claims = self._checked(token, signed_payload(token, self._keys, typ=self._typ))
        self._cache.add(verified)
        return verified, claims

    def _checked(self, token: str, payload: bytes) -> tuple[VerifiedToken, C]:
        found = read_json(payload)
        check_claims(
            found, issuer=self._issuer, audience=self._audience, exp_required=self._absolute_max_age is not None
        )
        claims = self._model_of(payload)  # runs the application's validators
        if changes_registered(claims, found):
            raise InvalidTokenError("token_claims")
        jkt = found["cnf"]["jkt"] if "cnf" in found else None
        if jkt is not None and not self._accepts_bound:
            raise InvalidTokenError("token_bound")  # to accept it without its proof would undo the binding
        amr = tuple(found["amr"]) if "amr" in found else None
        actor = found["act"]["sub"] if "act" in found else None
        others: list[Any] = [*map(found.get, _READ), jkt, found.get("acr"), amr, actor]
        return VerifiedToken(token, found["jti"], *others), claims

    def _model_of(self, payload: bytes) -> C:
        try:
            return self._model.model_validate_json(payload)
        except Exception:
            # A validator of the application may raise anything. The request gets a 401 in any case.
            raise InvalidTokenError("token_claims") from None
