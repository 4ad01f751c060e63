"""`MissingKeys`: the keys of a provider that has no secret yet."""

import os
from typing import Any, NoReturn

from ..errors import ConfigurationError, InvalidArgumentError
from .keys import KeyRing


class MissingKeys(KeyRing):
    """Keys that nobody has: they sign nothing, verify nothing and publish nothing.

    Args:
        algorithm: The name of the algorithm.
        error: Why there are no keys.

    Raises:
        ConfigurationError: The algorithm needs the extra `crypto`.
    """

    def __init__(self, algorithm: str, error: ConfigurationError) -> None:
        super().__init__((), algorithm)
        self._error = str(error)

    @property
    def can_sign(self) -> bool:
        """True, so that the OpenAPI document is that of the application with its secret."""
        return True

    def sign(self, payload: dict[str, Any], typ: str = "JWT") -> NoReturn:
        """Raise an error that says what is missing."""
        raise InvalidArgumentError(self._error)

    def jwks(self) -> NoReturn:
        """Raise the error that says what is missing."""
        raise ConfigurationError(self._error)

    def derived(self, purpose: bytes) -> list[bytes]:
        """Return a random key, another one each time."""
        return [os.urandom(32)]

    derived_secrets = derived
