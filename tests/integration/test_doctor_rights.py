"""What the doctor says of a server's user that lacks rights, and the rule that it advises."""

from collections.abc import Sequence
from typing import Any

import pytest

from jwtsession.stores.redis import rights
from tests import servers
from tests.integration.doctors import PASSWORD, Report, Terminal

pytestmark = pytest.mark.ci

PATTERNS = ("~sess:*", "~{sess:*", f"&{rights.INVALIDATIONS}")
EVERYTHING = {"user_index": True, "rotation_after": 900}
ASKS = ("+acl|dryrun",)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def few(server: servers.Server, *words: str) -> str:
    """A URL with a user that has these rights and no other."""
    reply = server.command("ACL", "SETUSER", "few", "reset", "on", f">{PASSWORD}", "resetchannels", "-@all", *words)
    assert reply == b"+OK\r\n"
    return server.url.replace("//", f"//few:{PASSWORD}@")


def doctor(terminal: Terminal, server: servers.Server, words: Sequence[str], **variables: Any) -> Report:
    return terminal.doctor(few(server, *words), **variables)


NEEDED = [*dict.fromkeys((*rights.BASIC, *rights.USER_INDEX, *rights.ROTATION))]


@pytest.mark.parametrize("asks", [(), ASKS], ids=["tries", "asks"])
@pytest.mark.parametrize("missing", [*NEEDED, *PATTERNS[:2]])
def test_each_missing_right_is_named(
    terminal: Terminal, engine: servers.Server, missing: str, asks: tuple[str, ...]
) -> None:
    """It is the one that is named, whether the user may ask by ACL DRYRUN or has to try; and trying changes nothing."""
    words = [each for each in (*PATTERNS[:2], *NEEDED, *asks) if each != missing]
    report = doctor(terminal, engine, words, **EVERYTHING)
    assert report.states("rights") == ["failure"]
    assert f"lacks {missing} on" in report.said("rights")
    assert f"ACL SETUSER few {missing}." in report.advice("rights")
    assert engine.ask("DBSIZE") == 0


@pytest.mark.parametrize(
    "variables", [{}, {"user_index": True}, {"rotation_after": 900}, {"near_cache_bytes": 1000}, EVERYTHING]
)
def test_the_advised_rule_is_enough(terminal: Terminal, engine: servers.Server, variables: dict[str, Any]) -> None:
    """A user with no right but to ping gets the rule, which the server takes, and nothing is missing then."""
    report = doctor(terminal, engine, ["+ping"], **variables)
    rule = report.advice("rights").partition("All that it needs: ")[2]
    rule = rule.partition(" ACL SETUSER")[0]  # a second finding's, with the near cache
    assert "-@all" in rule
    cured = doctor(terminal, engine, rule.split(), **variables)
    assert cured.states("rights") == ["ok"]
    assert set(cured.states("rights.near_cache")) <= {"ok"}


@pytest.mark.parametrize("missing", [*rights.NEAR_CACHE, PATTERNS[2]])
@pytest.mark.parametrize("asks", [(), ASKS], ids=["tries", "asks"])
def test_the_near_caches_rights_are_a_warning(
    terminal: Terminal, engine: servers.Server, missing: str, asks: tuple[str, ...]
) -> None:
    """Without one of them everything works, and nothing is read from memory."""
    words = [each for each in (PATTERNS[0], PATTERNS[2], *rights.BASIC, *rights.NEAR_CACHE, *asks) if each != missing]
    report = doctor(terminal, engine, words, near_cache_bytes=1_000_000)
    assert report.states("rights") == ["ok"]
    assert report.states("rights.near_cache") == ["warning"]
    assert f"lacks {missing} on" in report.said("rights.near_cache")


def test_what_the_doctor_itself_may_not_ask_is_skipped(terminal: Terminal, valkey: servers.Server) -> None:
    """A user with nothing but what the settings need: each check that needs more names the right."""
    report = doctor(terminal, valkey, ["~sess:*", *rights.BASIC])
    assert report.bad == {"server.eviction": "warning"}
    for check, right in (
        ("server.version", "+info"),
        ("server.persistence", "+info"),
        ("server.clock", "+time"),
        ("sample", "+scan"),
    ):
        assert report.states(check) == ["skipped"]
        assert right in report.advice(check)
    everything = doctor(terminal, valkey, ["~sess:*", *rights.BASIC, *rights.INSPECTION])
    assert everything.bad == {}
    assert "skipped" not in everything.states("server.persistence")


def test_what_is_used_without_a_setting_is_told(terminal: Terminal, valkey: servers.Server) -> None:
    """Tickets, sockets and `wait_replicas` need rights that no setting asks for: their lack is no fault."""
    report = doctor(terminal, valkey, ["~sess:*", *rights.BASIC, "+info", *ASKS])
    assert report.states("rights") == ["ok"]
    for right, what in rights.OPTIONAL.items():
        assert f"without {right} there are no {what}" in report.said("rights")


def test_a_cluster_needs_two_more(terminal: Terminal, cluster_server: servers.Server) -> None:
    """The rights of a cluster are asked for on its nodes."""
    words = ["~sess:*", *rights.BASIC, *rights.CLUSTER]
    url = few(cluster_server, *words).replace("redis://", "redis+cluster://").removesuffix("/0")
    report = terminal.doctor(url)
    assert "lacks +asking on" in report.said("rights")
    few(cluster_server, *words, "+asking")
    assert terminal.doctor(url).states("rights") == ["ok"]
