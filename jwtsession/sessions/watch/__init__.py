"""Tells open sockets and streams that their session has ended."""
