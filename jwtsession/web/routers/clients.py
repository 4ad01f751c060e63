"""`client_credentials`: authenticates another service by HTTP Basic (RFC 7617, RFC 6749 section 2.3.1)."""

import base64
import hashlib
import hmac
import logging
from collections.abc import Mapping
from urllib.parse import quote_plus

from fastapi.openapi.models import HTTPBase
from fastapi.security.base import SecurityBase
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from ...errors import ConfigurationError, InvalidClientError
from ...settings import check_secret
from ..factories import makes_dependency

logger = logging.getLogger("jwtsession")

_MIN_SECRET_BYTES = 32


class ClientCredentials(SecurityBase):
    """A dependency: the name of the service that makes the request. See `client_credentials`."""

    def __init__(self, clients: Mapping[str, str | SecretStr]) -> None:
        self.scheme_name = "client_credentials"
        self.model = HTTPBase(scheme="basic", description="The name and the secret of the calling service.")
        self._refused = 0
        self._digests: dict[bytes, str] = {}
        for client, secret in _checked(clients).items():
            # RFC 6749 section 2.3.1 encodes both as in a form. Most gateways don't.
            for text in (f"{client}:{secret}", f"{quote_plus(client)}:{quote_plus(secret)}"):
                self._digests[hashlib.sha256(text.encode()).digest()] = client

    def __repr__(self) -> str:
        return "ClientCredentials()"

    async def __call__(self, connection: HTTPConnection) -> str:
        """Return the name of the calling service. FastAPI calls this.

        Raises:
            InvalidClientError: The request has no credentials, or wrong ones.
        """
        given = connection.headers.getlist("authorization")
        if not given:
            raise InvalidClientError
        digest, found = _digest(given), None
        for expected, client in self._digests.items():  # all of them: the time tells nothing about the names
            if hmac.compare_digest(digest, expected):
                found = client
        if found is None:
            self._refused += 1
            if self._refused.bit_count() == 1:  # the 1st, 2nd, 4th, ...: who guesses must not flood the log
                logger.warning("the credentials of a calling service are wrong (%d times)", self._refused)
            raise InvalidClientError
        return found


@makes_dependency
def client_credentials(clients: Mapping[str, str | SecretStr]) -> ClientCredentials:
    """Make a dependency that authenticates other services by HTTP Basic: for `SessionProvider.token_router`.

    Args:
        clients: The secret of each service, by the name of the service: `{"gateway": secret}`. A secret has at least
            32 bytes, such as those of `secrets.token_urlsafe(32)`.

    Returns:
        The dependency. It gives the name of the service, and a 401 without the right secret.

    Raises:
        ConfigurationError: There is no service, a name has a colon, or a secret is too weak.
    """
    return ClientCredentials(clients)


def _digest(given: list[str]) -> bytes:
    """The SHA-256 of `name:secret`; of nothing if the request has no such credentials, or two."""
    scheme, _, encoded = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "basic":
        return b""
    try:
        return hashlib.sha256(base64.b64decode(encoded.strip(" "), validate=True)).digest()
    except ValueError:
        return b""


def _checked(clients: Mapping[str, str | SecretStr]) -> dict[str, str]:
    if not isinstance(clients, Mapping) or not clients:
        raise ConfigurationError('client_credentials: give at least one service, as {"gateway": secret}')
    checked: dict[str, str] = {}
    for place, (client, secret) in enumerate(clients.items()):
        # No message shows a name: a secret may have changed places with it.
        if not isinstance(client, str) or not client or ":" in client:
            raise ConfigurationError(f"client_credentials: name {place + 1} must be a text without a colon")
        checked[client] = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
        if not isinstance(checked[client], str):
            raise ConfigurationError(f"client_credentials: secret {place + 1} must be a text or a SecretStr")
        try:
            check_secret(f"client_credentials: secret {place + 1}", checked[client], _MIN_SECRET_BYTES, "a service")
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
    return checked
