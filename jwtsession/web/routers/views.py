"""What the ready-made endpoints answer: a session as its user sees it. No answer has a session's id or its token."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from ...sessions import LABEL_CHARACTERS, SessionInfo, check_label
from ._user_agents import MAX_NEW, Seen, UserAgents

logger = logging.getLogger("jwtsession")

Locate = Callable[[str], str | Awaitable[str | None] | None]
"""Returns the place of an IP address, as a text for people; None if it is not known."""


_AT_ONCE = 100
"""After so many views other requests go on. All of them take less than 5 milliseconds."""


class SessionView(BaseModel):
    """One of a user's sessions."""

    # Clients read these texts in OpenAPI.
    model_config = ConfigDict(use_attribute_docstrings=True)

    handle: str
    """The session's name, for the other endpoints. Nobody can use the session by it."""
    current: bool
    """Whether this is the session of the request."""
    created: AwareDatetime
    """When the user signed in."""
    last_seen: AwareDatetime
    """When the session was last used. Not exact: not every use is noted."""
    expires: AwareDatetime
    """When the session ends if nobody uses it until then."""
    label: str | None
    """The user's own name for the session."""
    browser: str | None
    """The browser, or another program, as it has introduced itself at the sign-in."""
    os: str | None
    """The operating system, as the browser has said."""
    device: str | None
    """The device, as the browser has said. Most browsers on a desktop don't."""
    client: str | None
    """The IP address at the sign-in, or its network."""
    location: str | None
    """The place of that address."""
    impersonated: bool
    """Whether somebody else acts for the user in this session."""


class CurrentSession(BaseModel):
    """The session of the request."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    handle: str
    """The session's name. Nobody can use the session by it."""
    created: AwareDatetime | None
    """When the user signed in; null for a visitor."""
    expires: AwareDatetime
    """When the session ends if nobody uses it until then. Not exact: not every use is noted."""
    absolute_expires: AwareDatetime | None
    """When the session ends even if it is used; null if it never does."""
    transport: Literal["cookie", "bearer"]
    """How the request has sent the token: in the cookie, or otherwise."""
    impersonated: bool
    """Whether somebody else acts for the user in this session."""


class SessionLabel(BaseModel):
    """A user's own name for a session."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")

    label: Annotated[str | None, AfterValidator(check_label), Field(json_schema_extra={"maxLength": LABEL_CHARACTERS})]
    """At most 64 characters, none of them a control character. Null, or an empty text, removes the name."""


class EndedSessions(BaseModel):
    """How many sessions have ended."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    ended: int
    """How many sessions have ended."""


class SessionError(BaseModel):
    """Why a request is refused."""

    detail: str


class Views:
    """Makes the views of sessions.

    Args:
        locate: The application's function for places; None if there is none.
    """

    def __init__(self, locate: Locate | None = None) -> None:
        self._agents = UserAgents()
        self._locate = locate
        self._failures = 0

    async def of(self, sessions: Sequence[SessionInfo]) -> list[SessionView]:
        """The views of one user's sessions, in the same order."""
        seen = await self._parse([each.user_agent for each in sessions])
        places = await self._find([each.client for each in sessions])
        made: list[SessionView] = []
        for number, (each, agent) in enumerate(zip(sessions, seen, strict=True), 1):
            made.append(self._view(each, agent, places.get(each.client or "")))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)  # other requests go on in between
        return made

    @staticmethod
    def _view(each: SessionInfo, agent: Seen, place: str | None) -> SessionView:
        return SessionView(
            handle=each.handle,
            current=each.current,
            created=moment(each.created),
            last_seen=moment(each.last_seen),
            expires=moment(each.expires),
            label=each.label,
            browser=agent.browser,
            os=agent.os,
            device=agent.device,
            client=each.client,
            location=place,
            impersonated=each.actor is not None,
        )

    async def _parse(self, agents: Sequence[str | None]) -> list[Seen]:
        seen: list[Seen] = []
        parsed = 0
        for each in agents:
            found = self._agents.known(each)
            if found is None and each is not None and parsed < MAX_NEW:
                parsed += 1
                found = self._agents.parse(each)
                await asyncio.sleep(0)  # other requests go on in between
            seen.append(found or Seen())
        return seen

    async def _find(self, clients: Sequence[str | None]) -> dict[str, str]:
        """The places of the addresses that have one."""
        places: dict[str, str] = {}
        for client in dict.fromkeys(clients) if self._locate is not None else ():
            if client and self._locate is not None:
                try:
                    place = self._locate(client.partition("/")[0])  # of a network its first address
                    if inspect.isawaitable(place):
                        place = await place
                    else:
                        await asyncio.sleep(0)  # other requests go on in between
                except Exception as error:
                    # What fails for one address fails for the others, perhaps after a while for each.
                    self._failures += 1
                    if self._failures.bit_count() == 1:  # the 1st, 2nd, 4th, ...: it must not flood the log
                        what = type(error).__name__
                        logger.warning("locate() failed (%d times): sessions have no places: %s", self._failures, what)
                    return places
                if isinstance(place, str):
                    places[client] = place
        return places


def moment(seconds: float) -> datetime:
    """A time in seconds since the epoch as a `datetime`, cut to whole seconds and to what a `datetime` can hold."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return (datetime.max if seconds > 0 else datetime.min).replace(microsecond=0, tzinfo=UTC)
