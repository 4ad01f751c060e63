"""`python -m example_app`: serve the shop, and say what to try."""

import argparse
import contextlib
import errno
import logging
import os
import secrets
import socket
import sys

import uvicorn

from jwtsession import ConfigurationError

TEXT = """
The shop is open: {url}

Log in as {users}.
Open it in two tabs, and in a second browser, and look at "Your sessions".

Other clients send a bearer token: try {url}/docs ("Authorize"),
or copy these lines into another terminal, from top to bottom.

Log in:
  TOKEN=$(curl -s {url}/token -d username=alice -d password={password} | cut -d '"' -f 4)

Use the token, put tea into the cart, look again:
  curl -w ' %{{http_code}}\\n' -H "Authorization: Bearer $TOKEN" {url}/session
  curl -w ' %{{http_code}}\\n' -H "Authorization: Bearer $TOKEN" -X POST {url}/cart/tea
  curl -w ' %{{http_code}}\\n' -H "Authorization: Bearer $TOKEN" {url}/session

Log out, and the token is worth nothing:
  curl -w ' %{{http_code}}\\n' -H "Authorization: Bearer $TOKEN" -X DELETE {url}/session
  curl -w ' %{{http_code}}\\n' -H "Authorization: Bearer $TOKEN" {url}/session

Sessions are kept by {store}.
Tokens are signed with {secret}.
{cookie}
Ctrl-C closes the shop.
"""


def main() -> int | str:
    """Serve until Ctrl-C. Returns what `sys.exit` takes."""
    parser = argparse.ArgumentParser(prog="python -m example_app", description="A shop with sessions.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", default=8000, type=int, help="port to listen on (%(default)s)")
    arguments = parser.parse_args()

    # In the environment, so that workers would share them if there were several.
    store, secret = "the server of JWTSESSION_REDIS_URL", "JWTSESSION_SECRET"
    if "JWTSESSION_REDIS_URL" not in os.environ:
        os.environ["JWTSESSION_REDIS_URL"] = "embedded://"
        store = "an embedded Valkey, gone when the shop closes"
    if "JWTSESSION_SECRET" not in os.environ:
        os.environ["JWTSESSION_SECRET"] = secrets.token_urlsafe(64)
        secret = "a random secret, gone when the shop closes: set JWTSESSION_SECRET to keep one"
    cookie = "The cookie is as JWTSESSION_COOKIE_SECURE says."
    if "JWTSESSION_COOKIE_SECURE" not in os.environ:
        os.environ["JWTSESSION_COOKIE_SECURE"] = "false"
        cookie = "The cookie is not Secure, since this is HTTP: set JWTSESSION_COOKIE_SECURE=true where you have HTTPS."
    try:
        from .app import app
        from .users import DEMO_PASSWORDS
    except ConfigurationError as error:
        return f"The shop can't open: {error}"

    # Listening before it is announced, so that the lines work from the moment that they are printed.
    try:
        listener = socket.create_server((arguments.host, arguments.port))
    except (OSError, OverflowError) as error:
        reason = "the port is in use" if getattr(error, "errno", None) == errno.EADDRINUSE else str(error)
        remedy = "Try another port: make demo PORT=8001"
        return f"The shop can't open at {arguments.host}:{arguments.port}: {reason}. {remedy}"

    users = " or ".join(f"{name} (password {password})" for name, password in DEMO_PASSWORDS.items())
    url = f"http://{arguments.host}:{listener.getsockname()[1]}"
    text = TEXT.format(
        url=url, users=users, password=DEMO_PASSWORDS["alice"], store=store, secret=secret, cookie=cookie
    )
    print(text, flush=True)
    server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=3))
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # requests are shown, uvicorn's own steps are not
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    print("The shop is closed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
