"""The base of all errors, those of the set-up, and what the errors with an HTTP status have in common."""

from typing import Any, ClassVar

from starlette.exceptions import HTTPException


class JWTSessionError(Exception):
    """Base of all errors of this package."""

    code: str = "error"
    """What happened, for programs and logs. It never contains a token, a session's id or session data."""


class ConfigurationError(JWTSessionError, ValueError):
    """A setting, an argument or a route can't work. The provider raises this when it is made or started.

    Where an application did not start the provider itself, it is raised at the first request that asks the provider.
    """

    code = "configuration"
    problems: tuple[str, ...] = ()
    """If settings are wrong, the message of each of them."""


class NotStartedError(JWTSessionError, RuntimeError):
    """Somebody used the provider before its start or after its end: a mistake in the set-up. A client gets a 500.

    `FastAPI(lifespan=sessions.lifespan)` starts the provider; without an application `async with sessions:` does.
    """

    code = "not_started"


class InvalidArgumentError(JWTSessionError, ValueError):
    """The application gave a method data that can't be stored or signed: a mistake in the code. A client gets a 500.

    Examples: claims that set the reserved `jti`; a session that its own model would refuse when it reads it back.
    When this is raised, nothing has been stored.
    """

    code = "invalid_argument"


class HTTPError(JWTSessionError, HTTPException):
    """Base of the errors that are an answer to a client.

    Args:
        code: The code; None for the class's own.
    """

    status: ClassVar[int]
    body: ClassVar[str]

    def __init__(self, code: str | None = None) -> None:
        self.code = code or self.code
        HTTPException.__init__(self, self.status, self.body, self._headers())

    def __str__(self) -> str:
        return f"{self.status} {self.body} ({self.code})"

    def __reduce__(self) -> tuple[type["HTTPError"], tuple[Any, ...]]:
        return type(self), (self.code,)

    def _headers(self) -> dict[str, str]:
        return {"Cache-Control": "no-store"}
