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
from fastapi import FastAPI, Response

from jwtsession import ConfigurationError

TEXT = """
The shop is open: {url}

Put something into the cart, and log in as {users}.
Open it in two tabs, and in a second browser, and look at "Your sessions". As bob, become admin, and act for alice.

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
{metrics}
Ctrl-C closes the shop.
"""


def add_metrics(app: FastAPI) -> bool:
    """Add `/metrics` for Prometheus, if `opentelemetry-exporter-prometheus` is installed. Return whether it is.

    The numbers are nobody else's business: let the proxy in front answer 404 for this path, or serve them at a port of
    their own, by `prometheus_client.start_http_server`.
    """
    try:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from opentelemetry.metrics import set_meter_provider
        from opentelemetry.sdk.metrics import MeterProvider
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
    except ImportError:
        return False
    set_meter_provider(MeterProvider([PrometheusMetricReader()]))

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return True


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
    missing = "There is no /metrics: that needs opentelemetry-exporter-prometheus."
    text = TEXT.format(
        url=url,
        users=users,
        password=DEMO_PASSWORDS["alice"],
        store=store,
        secret=secret,
        cookie=cookie,
        metrics=f"Prometheus can read {url}/metrics." if add_metrics(app) else missing,
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
