"""Asks another service: for its public keys, and whether a token's session still lives."""

from .client import RemoteClient, check_url
from .introspection import Introspection, IntrospectionClient
from .keys import RemoteKeys
from .verification import RemoteVerification

__all__ = ["Introspection", "IntrospectionClient", "RemoteClient", "RemoteKeys", "RemoteVerification", "check_url"]
