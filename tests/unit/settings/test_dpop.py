"""Tests of jwtsession.settings.dpop, and of what its settings need of others."""

from datetime import timedelta
from typing import Any

import pytest

from jwtsession import ConfigurationError, DPoPSettings, MemorySessionStore, SessionProvider, SessionSettings
from tests.conftest import SECRET
from tests.keymaterial import private_key, public_pem

URL = "https://api.example.com"


def settings(**options: Any) -> SessionSettings:
    return SessionSettings(**({"secret": SECRET, "public_url": URL, "dpop": {"mode": "optional"}} | options))


def test_the_defaults_are_safe() -> None:
    """A minute, few algorithms, each proof once; and nothing without `mode`."""
    assert settings().dpop.model_dump() == {
        "mode": "optional",
        "algorithms": ("ES256", "EdDSA"),
        "max_age": 60,
        "leeway": 5,
        "nonce": False,
        "replay": True,
    }
    assert SessionSettings(secret=SECRET).dpop.mode == "off"
    assert settings(dpop=DPoPSettings(mode="required", max_age=timedelta(minutes=2))).dpop.max_age == 120


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"public_url": None}, "public_url: dpop needs it"),
        ({"token_sources": ["header"]}, 'dpop.mode: needs "bearer" in token_sources'),
        (
            {"dpop": {"mode": "required"}, "token_sources": ["bearer", "cookie"]},
            'dpop.mode: "required" refuses every token in a cookie',
        ),
        ({"dpop": {"mode": "off", "nonce": True}}, 'dpop.nonce: needs dpop.mode "optional" or "required"'),
        ({"dpop": {"mode": "optional", "algorithms": []}}, "dpop.algorithms: must name one or more of"),
        ({"dpop": {"mode": "optional", "algorithms": ["HS256"]}}, "dpop.algorithms"),
        ({"dpop": {"mode": "optional", "algorithms": ["ES256", "ES256"]}}, "dpop.algorithms: must name one or more of"),
        ({"dpop": {"mode": "optional", "max_age": 601}}, "dpop.max_age"),
        ({"dpop": {"mode": "optional", "leeway": 61}}, "dpop.leeway"),
        ({"public_url": "https://api.example.com/"}, "public_url: must be http"),
        ({"public_url": "https://API.example.com"}, "public_url: must be http"),
        ({"public_url": "https://api.example.com/a?b"}, "public_url: must be http"),
    ],
)
def test_what_can_not_work_is_refused(options: dict[str, Any], message: str) -> None:
    """The message begins with the name of the setting."""
    with pytest.raises(ConfigurationError) as caught:
        settings(**options)
    assert str(caught.value).startswith(message)


def test_nonces_need_a_private_key() -> None:
    """From a public one everybody could compute them."""
    public = public_pem(private_key("ES256"))
    made = settings(secret=public, algorithm="ES256", dpop={"mode": "optional", "nonce": True})
    with pytest.raises(ConfigurationError, match=r"^dpop\.nonce: needs a private key"):
        SessionProvider(settings=made, store=MemorySessionStore())
