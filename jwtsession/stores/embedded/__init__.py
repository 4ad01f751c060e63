"""The Valkey server of `embedded://`, which the application's own processes start and stop."""

from .server import EmbeddedServer

__all__ = ["EmbeddedServer"]
