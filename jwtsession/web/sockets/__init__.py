"""WebSockets: they end with their session, and may bring the token in a subprotocol."""
