"""`TokenChecks`: what a provider asks of a request's token, beside that it is genuine and that its session lives."""

from starlette.types import Scope

from ..sessions import LoadCheck
from ..tokens import VerifiedToken


class TokenChecks:
    """The checks of one provider: the proof of a bound token, and the rotation of any other."""

    def begin(self, scope: Scope, verified: VerifiedToken, source: str) -> LoadCheck | None:
        """Check what can be checked without the store.

        Args:
            scope: The request's ASGI scope.
            verified: The token.
            source: The place that has the token: a token source, `ticket`, `message`, or `introspection` if
                another service asks about the token (RFC 7662): it sends no proof, and this must change nothing.

        Returns:
            What to ask the store while the session is loaded; None for nothing.

        Raises:
            AuthenticationError: The token must not be used by this request.
        """
        return None
