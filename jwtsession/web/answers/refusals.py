"""The answers to refused requests, as OpenAPI shows them."""

from collections.abc import Set
from typing import Any

_BEARER = "RFC 6750: `Bearer` with a `realm`, or with error `invalid_token` for a bad token"
_STALE = "RFC 9470: error `insufficient_user_authentication` with the `max_age` of the sign-in"
_LEVEL = "RFC 9470: error `insufficient_user_authentication` with the `acr_values` that are enough"
ANSWERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "login": ("303", "The login page, for a browser that opens a page", {"Location": "The login page"}),
    "ambiguous": ("400", "Two different tokens", {"WWW-Authenticate": "RFC 6750: error `invalid_request`"}),
    "no_session": ("401", "No session", {"WWW-Authenticate": _BEARER}),
    "stale": ("401", "A sign-in too long ago for this endpoint", {"WWW-Authenticate": _STALE}),
    "level": ("401", "A sign-in that is not strong enough for this endpoint", {"WWW-Authenticate": _LEVEL}),
    "cross_site": ("403", "A request that another site may have made", {}),
    "scope": (
        "403",
        "The token's scope does not permit this",
        {"WWW-Authenticate": "RFC 6750: error `insufficient_scope`"},
    ),
    "impersonated": ("403", "Not permitted to somebody who acts for the user, or not to act for this user", {}),
    "too_many": ("403", "The user has too many sessions", {}),
    "conflict": ("409", "The session was changed by another request", {}),
    "too_large": ("413", "The session is too large", {}),
    "unavailable": ("503", "The session store is unavailable", {"Retry-After": "Seconds"}),
}
"""For each reason: the status, its description, and its headers. Several reasons may have one status."""


def answers_for(reasons: Set[str]) -> dict[str, dict[str, Any]]:
    """OpenAPI's answers for these reasons, by status.

    Args:
        reasons: Keys of `ANSWERS`. Others are ignored.
    """
    answers: dict[str, dict[str, Any]] = {}
    for status, description, headers in (ANSWERS[reason] for reason in ANSWERS if reason in reasons):
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/SessionError"}}}
        answer = answers.setdefault(status, {"description": "", "content": content})
        answer["description"] = " / ".join(filter(None, [answer["description"], description]))
        for name, text in headers.items():
            header = answer.setdefault("headers", {}).setdefault(
                name, {"description": "", "schema": {"type": "string"}}
            )
            header["description"] = "; ".join(filter(None, [header["description"], text]))
    return answers
