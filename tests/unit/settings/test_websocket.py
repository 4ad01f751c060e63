"""Tests of the settings of WebSockets: jwtsession.settings.websocket, as far as they close sockets."""

from datetime import timedelta
from typing import Any

import pytest

from jwtsession import ConfigurationError, SessionSettings, WebSocketSettings
from tests.conftest import SECRET


def test_the_defaults_are_those_of_the_page() -> None:
    """Five seconds, "policy violation", and messages count as uses."""
    found = SessionSettings(secret=SECRET).websocket
    assert (found.check_interval, found.close_code, found.keeps_alive) == (5, 1008, True)


def test_they_come_from_the_environment_and_from_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a variable; a duration may be a `timedelta`."""
    monkeypatch.setenv("JWTSESSION_WEBSOCKET_CLOSE_CODE", "4001")
    monkeypatch.setenv("JWTSESSION_WEBSOCKET_KEEPS_ALIVE", "false")
    found = SessionSettings(secret=SECRET, websocket={"check_interval": timedelta(minutes=1)}).websocket
    assert (found.check_interval, found.close_code, found.keeps_alive) == (60, 4001, False)


@pytest.mark.parametrize("code", [1008, 3000, 4999])
def test_a_server_may_send_the_code(code: int) -> None:
    """1008, and the codes for libraries and applications (RFC 6455 section 7.4.2)."""
    assert WebSocketSettings(close_code=code).close_code == code


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        *(({"close_code": code}, "close_code") for code in (0, 1000, 1005, 1006, 1013, 2999, 5000)),
        *(
            ({"check_interval": interval}, "check_interval")
            for interval in (0, -1, 0.5, 3601, timedelta(milliseconds=5))
        ),
    ],
)
def test_what_can_not_work_is_refused(wrong: dict[str, Any], name: str) -> None:
    """The message names the setting."""
    with pytest.raises(ConfigurationError, match=name):
        WebSocketSettings(**wrong)
