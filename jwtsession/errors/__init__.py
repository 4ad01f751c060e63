"""The error tree: every exception that this package raises on purpose.

An error with an HTTP status is also a Starlette `HTTPException`, so FastAPI turns it into an answer without a handler.
`code` tells programs and logs what happened. The answer's body tells a client no more than the status does.
"""

from .authentication import (
    REALM,
    AuthenticationError,
    ExpiredTokenError,
    InsufficientLevelError,
    InvalidClientError,
    InvalidTokenError,
    MissingTokenError,
    SessionCorruptError,
    SessionNotFoundError,
    StaleAuthenticationError,
    TokenReusedError,
)
from .base import (
    ConfigurationError,
    InvalidArgumentError,
    JWTSessionError,
    NotStartedError,
)
from .proofs import (
    InvalidProofError,
    ProofNonceError,
)
from .refusals import (
    AmbiguousTokenError,
    CSRFError,
    ImpersonationError,
    InsufficientScopeError,
    LoginRequiredError,
    SessionConflictError,
    SessionTooLargeError,
    StoreUnavailableError,
    TooManySessionsError,
)

__all__ = [
    "REALM",
    "AmbiguousTokenError",
    "AuthenticationError",
    "CSRFError",
    "ConfigurationError",
    "ExpiredTokenError",
    "ImpersonationError",
    "InsufficientLevelError",
    "InsufficientScopeError",
    "InvalidArgumentError",
    "InvalidClientError",
    "InvalidProofError",
    "InvalidTokenError",
    "JWTSessionError",
    "LoginRequiredError",
    "MissingTokenError",
    "NotStartedError",
    "ProofNonceError",
    "SessionConflictError",
    "SessionCorruptError",
    "SessionNotFoundError",
    "SessionTooLargeError",
    "StaleAuthenticationError",
    "StoreUnavailableError",
    "TokenReusedError",
    "TooManySessionsError",
]
