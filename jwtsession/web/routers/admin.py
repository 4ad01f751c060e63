"""The router for administrators: the sessions of any user, and the end of all tokens."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ...errors import InvalidArgumentError
from ...manager.acting import IMPERSONATION_SECONDS
from ...manager.logins import refuse_actor
from ...models import Token
from ._access import Manager, SessionAccess, not_found
from ._guards import guard_dependency
from ._validation import ValidatedRoute
from .paging import MORE, Offset, tell_of_more
from .sessions import NO_SUCH_SESSION
from .views import EndedSessions, SessionError, SessionView, Views, moment

_SESSIONS = "/users/{sub:path}/sessions"
# A handle has 22 characters, so no path is that of all sessions of one user and that of a session of another one.
_SESSION = _SESSIONS + "/{handle}"


class Impersonation(BaseModel):
    """For how long to act for a user."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    seconds: int = Field(default=IMPERSONATION_SECONDS, ge=1, le=IMPERSONATION_SECONDS)
    """After so many seconds the session ends, however much it is used."""


_AN_HOUR = Impersonation()


class RevokeBefore(BaseModel):
    """A time. Every token that was issued until then is refused."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    time: AwareDatetime | None = None
    """The time, not in the future; null for now."""


class RevokedBefore(BaseModel):
    """The time that counts."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    time: AwareDatetime
    """Every token that was issued until then is refused. It is later than the asked time if an earlier call set it."""


def admin_router(
    access: SessionAccess,
    views: Views,
    guard: object,
    *,
    impersonate: Callable[[str], object] | None,
    revoke_before: bool,
    prefix: str,
    tags: Sequence[str],
) -> APIRouter:
    """See `SessionProvider.admin_router`.

    Args:
        access: What the provider gives.
        views: Makes the answers.
        guard: A dependency that lets in administrators only.
        impersonate: Returns the data of a session in which an administrator acts for the user; None for no such
            endpoint.
        revoke_before: Whether there is the endpoint `POST /revoke-before`.
        prefix: The beginning of the paths.
        tags: The tags of the endpoints in OpenAPI.
    """
    get_manager = access.get_manager

    async def manager_of(request: Request, response: Response) -> Manager:
        # A guard may authenticate in a way of its own, and be content with a session. Where the session's token is in
        # the cookie, this refuses requests that another site may have made. OpenAPI shows the guard alone: with this
        # dependency it would show that a request may come without any credentials.
        manager = await get_manager(request, response)
        refuse_actor(manager)  # an administrator acts for nobody meanwhile
        if manager.session is None and "cookie" in request.headers:  # the guard may have a cookie of its own
            access.check_origin(request.scope)
        return manager

    given = Depends(manager_of)
    first = [guard_dependency(guard), given]
    router = APIRouter(prefix=prefix, tags=[*tags], dependencies=first, responses=_ANSWERS, route_class=ValidatedRoute)

    @router.get(_SESSIONS, summary="The sessions of a user", responses=MORE)
    async def list_user_sessions(
        sub: Subject, response: Response, manager: Any = given, offset: Offset = 0
    ) -> list[SessionView]:
        """The user's sessions, the one used last first, at most 1,000 at a time; an unknown user has none."""
        found = await access.sessions_of(sub, manager, offset)
        tell_of_more(response, offset, found)
        return await views.of(found)

    @router.delete(_SESSIONS, summary="End all sessions of a user")
    async def end_user_sessions(sub: Subject) -> EndedSessions:
        """Log the user out everywhere."""
        return EndedSessions(ended=await access.revoke_all(sub))

    @router.delete(_SESSION, status_code=204, summary="End a session of a user", responses=NO_SUCH_SESSION)
    async def end_user_session(sub: Subject, handle: str) -> None:
        """End one session of the user."""
        if not await access.revoke_handle(handle, sub=sub):
            raise not_found()

    if impersonate is not None:
        acting = Depends(access.get_required_manager)

        @router.post("/users/{sub:path}/impersonate", summary="Act for a user", responses=_NO_SUCH_USER)
        async def impersonate_user(
            sub: Subject,
            asked: Impersonation = _AN_HOUR,
            manager: Any = acting,
        ) -> Token:
            """Begin a session in which you act for the user. The token names both: its `act` is you (RFC 8693)."""
            manager.require()
            made: Any = impersonate(sub)
            made = await made if inspect.isawaitable(made) else made
            if made is None:
                raise not_found()
            session, claims = made if isinstance(made, tuple) else (made, None)
            token: Token = await manager.impersonate(sub, session, claims, seconds=asked.seconds)
            return token

    if revoke_before:

        @router.post("/revoke-before", summary="End all tokens of all users")
        async def revoke_tokens_before(asked: RevokeBefore) -> RevokedBefore:
            """Log out everybody: each token that was issued until the time is refused. The time can't go back."""
            try:
                return RevokedBefore(time=moment(await access.revoke_before(asked.time)))
            except InvalidArgumentError:
                # In the form of every 422: clients that a generator made read no other.
                wrong = {"type": "value_error", "loc": ["body", "time"], "msg": "It is in the future, or before 1970"}
                raise RequestValidationError([wrong]) from None

    return router


def _checked(sub: str) -> str:
    try:
        sub.encode()
    except UnicodeEncodeError:
        raise ValueError("no token can carry this") from None
    return sub


Subject = Annotated[
    str,
    AfterValidator(_checked),
    Path(min_length=1, description="The user, as in the claim `sub`, percent-encoded."),
]

_NO_SUCH_USER: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such user", "model": SessionError}}

_ANSWERS: dict[int | str, dict[str, Any]] = {
    403: {"description": "No administrator, or a request that another site may have made", "model": SessionError},
    503: {"description": "The session store is unavailable", "model": SessionError},
}
