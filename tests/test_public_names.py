"""The tests use public names: what is private to the package can change without them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("tests", "soak", "benchmarks", "fuzz", "example_app")
FILES = {
    str(file.relative_to(ROOT)): file
    for folder in FOLDERS
    for file in sorted((ROOT / folder).rglob("*.py"))
    if "node_modules" not in file.parts and file != Path(__file__)
}

# How many private names a file may use, and what for. A number may only go down.
ALLOWED: dict[str, tuple[int, str]] = {
    "tests/conftest.py": (
        4,
        "`started`: a provider without an application and without an end, also in tests that are not asynchronous;"
        " `patient`: the deadlines of a call and of connections, for stores made anywhere",
    ),
    "tests/docs/test_claims.py": (1, "every place of a setting, a group's too"),
    "tests/engines/test_cluster.py": (1, "the deadline of a call, which users can't set"),
    "tests/engines/test_near.py": (
        4,
        "the connections that follow servers, and what is kept: the near cache shows neither",
    ),
    "tests/engines/test_sentinel.py": (1, "the deadline of a call, which users can't set"),
    "tests/integration/test_cancellation.py": (3, "redis-py's pool does not tell which connections are in use"),
    "tests/integration/test_embedded.py": (
        2,
        "what happens between two steps of a start can only be caused from inside",
    ),
    "tests/integration/test_health.py": (1, "the deadline of a call, which users can't set"),
    "tests/integration/test_near.py": (
        10,
        "loads by one network and news by another: the near cache lets nobody choose",
    ),
    "tests/security/test_properties.py": (1, "what may be a session's id is decided in one place"),
    "tests/security/test_vectors.py": (1, "published keys of raw bytes, which the settings refuse"),
    "tests/unit/observability/test_events.py": (3, "a short queue, and the hash of an id"),
    "tests/unit/sessions/test_throttle.py": (1, "a limit that is reached quickly"),
    "tests/unit/settings/test_groups.py": (1, "every place of a setting, a group's too"),
    "tests/unit/settings/test_session_settings.py": (1, "every place of a setting"),
    "tests/unit/settings/test_weak_secrets.py": (1, "the list itself"),
    "tests/unit/stores/embedded/test_server.py": (
        19,
        "folders and their rights, which are made before a server is started",
    ),
    "tests/unit/stores/redis/client_cache/test_cache.py": (
        17,
        "what is kept and being loaded, with a server's news at chosen moments",
    ),
    "tests/unit/stores/redis/test_cluster_pipelines.py": (1, "the deadline of a call, which users can't set"),
    "tests/unit/stores/redis/test_autopipeline.py": (
        10,
        "the writes of each connection, and that nothing is left waiting",
    ),
    "tests/unit/stores/redis/test_connect.py": (1, "what is read of a URL"),
    "tests/unit/test_same_instance.py": (1, "how many sessions a manager remembers"),
    "tests/unit/tokens/test_codec.py": (1, "what may be a session's id is decided in one place"),
}


MAY_HAVE_ONE = re.compile(r"(?<!\bself)(?<!\bcls)\._(?!_)|import\s*(\([^)]*|.*)\b_[a-zA-Z]")
"""What every file with a private name has. Most files have it not, and to parse them all takes long."""


def is_private(dotted: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in dotted.split("."))


def is_of_the_package(dotted: str) -> bool:
    return dotted.partition(".")[0] == "jwtsession"


def declared(tree: ast.AST) -> set[str]:
    """Private attributes that the file's own classes have, such as those of its models."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {
        node.target.id
        for body in bodies
        for node in body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def private_names(name: str, source: str) -> Iterator[str]:
    """Attributes of all but `self` and `cls`, imports from the package, and the package's names as texts.

    A unit test may import the module that it tests: `test_lru.py` imports `jwtsession._lru`.
    """
    if not MAY_HAVE_ONE.search(source):
        return
    tree = ast.parse(source)
    own = declared(tree)
    tested = "_" + Path(name).stem.removeprefix("test_")
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=attribute) if is_private(attribute) and attribute not in own:
                yield ast.unparse(node)
            case ast.ImportFrom(module=str(module), names=names) if is_of_the_package(module):
                imported = [f"{module}.{each.name}" for each in names]
                yield from (each for each in imported if is_private(each.replace(f".{tested}.", ".")))
            case ast.Constant(value=str(text)) if is_of_the_package(text) and " " not in text and is_private(text):
                yield text


def test_only_the_list_permits_private_names() -> None:
    """No file uses more of them than the list permits it, and the list names no file that is gone."""
    found = {name: [*private_names(name, file.read_text())] for name, file in FILES.items()}
    assert {name: each for name, each in found.items() if len(each) > ALLOWED.get(name, (0, ""))[0]} == {}
    assert ALLOWED.keys() <= FILES.keys()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("store._sessions", ["store._sessions"]),
        ("world.provider._sessions.codec", ["world.provider._sessions"]),
        ("self._sessions", []),
        ("self.store._sessions", ["self.store._sessions"]),
        ("store.__class__", []),
        ("class Own:\n    _seen: int = 0\nown._seen", []),
        ("from jwtsession.settings import _NAMES", ["jwtsession.settings._NAMES"]),
        ("from jwtsession._other import name", ["jwtsession._other.name"]),
        ("from jwtsession._thing import name", []),
        ("from jwtsession._thing import _name", ["jwtsession._thing._name"]),
        ("from other import _name", []),
        ("patch('jwtsession.audit._WAITING', 5)", ["jwtsession.audit._WAITING"]),
        ("'a sentence of jwtsession._thing'", []),
    ],
)
def test_what_counts(source: str, expected: list[str]) -> None:
    """Private is what begins with one underscore, wherever it is reached from outside."""
    assert [*private_names("tests/unit/test_thing.py", source)] == expected
