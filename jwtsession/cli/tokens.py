"""`jwtsession token inspect -`: what a token says, and whether it would be accepted."""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .._ids import handle_of, is_session_id
from ..errors import AuthenticationError, InvalidTokenError, StoreUnavailableError
from ..sessions import Cutoff
from ..stores import has_cutoff, has_forwards, has_rotation
from ..tokens import VerifiedToken
from ..tokens.compact import MAX_TOKEN_CHARS, decode, read_json, split
from .answer import FAILED, FINE, Answer, Table
from .stored import read
from .target import Target, heard_warnings, load

_TIMES = ("iat", "nbf", "exp", "auth_time")
_WHY = {
    "token_malformed": "it is no JWT: give the access_token alone, without quotes and without Bearer",
    "token_header": "its header asks for something that is never done, or has not the type of token_type_header",
    "token_algorithm": "it is signed by another algorithm than the setting algorithm",
    "token_signature": "none of the keys has signed it",
    "token_claims": "a claim is missing, of another type, or does not fit the model of the claims",
    "token_issuer": "its iss is not the setting issuer",
    "token_audience": "its aud is not the setting audience, or there is no such setting",
    "token_not_yet_valid": "its nbf is in the future",
    "token_issued_in_future": "its iat is in the future: compare the clocks",
    "token_authenticated_in_future": "its auth_time is in the future",
    "token_bound": "it is bound to a key, and dpop.mode is off",
    "token_revoked": "revoke_before() has refused all tokens of that time",
    "expired_token": "its exp has passed",
    "session_not_found": "it is genuine, and its session has ended",
    "token_reused": "it is genuine, and regenerate() has replaced it by a newer one",
    "token_replaced": "it is genuine, and rotation has replaced it by a newer one",
    "store_unavailable": "it is genuine, and the store does not say whether its session lives",
}


def run(arguments: argparse.Namespace, secrets: set[str]) -> Answer:
    """Read a token from the standard input. The token and its jti are never shown."""
    target = load(arguments, secrets)
    token = _token()
    if len(token) >= 22:  # as short as an id; hiding less would hide parts of other words
        secrets.add(token)
    header, claims = _said_by(token)
    jti = claims.pop("jti", None)
    handle = None
    if is_session_id(jti):
        secrets.add(jti)
        handle = handle_of(jti)
    code = asyncio.run(_code(target, token))
    why = _WHY.get(code, "see docs/troubleshooting.md") if code else "it is genuine, and its session lives"
    if not code and "cnf" in claims:
        why += "; a request also needs a proof of the client's key (DPoP)"
    document: dict[str, Any] = {"accepted": not code, "code": code or None, "why": why}
    document |= {"handle": handle, "header": header, "claims": claims}
    verdict = f"accepted: {why}" if not code else f"refused ({code}): {why}"
    genuine = not code or code in ("expired_token", "session_not_found", "token_replaced", "store_unavailable")
    says = "It says" if genuine else "It says, and nobody vouches for it"
    rows = [*(("header", name, str(value)) for name, value in header.items())]
    rows += [("handle", "", handle)] if handle else []
    rows += [("claim", name, _text(name, value)) for name, value in claims.items()]
    shown: list[str | Table] = [verdict]
    shown += ["", f"{says}:", Table(("what", "name", "value"), rows)] if rows else []
    return Answer(document, shown, FAILED if code else FINE)


def _token() -> str:
    """What the standard input begins with; an empty text for one that is closed, or is no text."""
    try:
        return sys.stdin.read(2 * MAX_TOKEN_CHARS).strip() if sys.stdin is not None else ""
    except UnicodeDecodeError:
        return ""


def _said_by(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims, which nobody has verified; empty for a text that is no token."""
    try:
        header, payload, _ = split(token, MAX_TOKEN_CHARS)
        known = {name: value for name, value in read_json(decode(header)).items() if name in ("alg", "typ", "kid")}
        return known, read_json(decode(payload))
    except InvalidTokenError:
        return {}, {}


async def _code(target: Target, token: str) -> str:
    """Why the token would be refused; an empty text if it would be accepted. This is no use of its session."""
    try:
        verified = target.codec.verify(token)
    except AuthenticationError as error:
        return error.code
    with heard_warnings():
        try:
            async with target.opened():
                return await _code_of_session(target, verified)
        except StoreUnavailableError as error:
            return error.code


async def _code_of_session(target: Target, verified: VerifiedToken) -> str:
    store, settings = target.store, target.settings
    if settings.revoke_before and has_cutoff(store):
        cutoff = Cutoff(store, settings.leeway, time.time)
        await cutoff.learn()
        if cutoff.refuses(verified):
            return "token_revoked"
    stored = await read(target, verified.session_id)
    if stored is None:
        moved = has_forwards(store) and await store.forward_get(verified.session_id) is not None
        return "token_reused" if moved else "session_not_found"
    if stored.unreadable is not None:
        return stored.unreadable
    if target.given is not None:
        try:
            await target.given.get(verified.session_id)
        except AuthenticationError as error:
            return error.code
    if settings.rotation.after is not None and has_rotation(store):
        newest = (await store.load_generation(verified.session_id)).newest
        if newest is not None and (verified.gen or 0) < newest.number:
            return "token_replaced"  # not the code of a request, which may still be within the grace
    return ""


def _text(name: str, value: Any) -> str:
    if name in _TIMES and isinstance(value, int | float) and 0 <= value < 10**11:
        return f"{value:g} ({datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%SZ})" if value else "0"
    return str(dict(value)) if isinstance(value, Mapping) else str(value)
