"""What a version has promised: its public names, and what it writes into tokens and into Redis.

`python -m tests.versions` keeps it for the version that is about to be released, in a file beside this one. Later
versions are held to that file.
"""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from redis import Redis

from jwtsession import Claims, Session, SessionProvider
from jwtsession.testing import AsyncSessionTester, Clock

NOW = 1_800_000_000.0
NEW = re.compile(r"New in version \d+\.\d+\.\d+\.")
_SECRET = "what the samples of all versions are signed with, and nothing else"
MODES: dict[str, dict[str, Any]] = {
    "plain": {},
    "encrypted": {"encryption": {"keys": ("c2FtcGxlcyBvZiBhbGwgdmVyc2lvbnMsIDMyIGJ5dGU",)}},
}


class Person(Session):
    """What the samples hold."""

    name: str


def public_names() -> dict[str, str]:
    """Every public name with its docstring: those of `__all__`, and the members of the classes among them."""
    found: dict[str, str] = {}
    for module in ("jwtsession", "jwtsession.testing"):
        for name in importlib.import_module(module).__all__:
            value = getattr(importlib.import_module(module), name)
            place = f"{module}.{name}"
            found[place] = inspect.getdoc(value) or ""
            for owner in value.__mro__ if inspect.isclass(value) else ():
                if owner.__module__.startswith("jwtsession"):
                    for member, text in _members(owner):
                        found.setdefault(f"{place}.{member}", text)
    return found


def _members(cls: type) -> Iterator[tuple[str, str]]:
    """The public methods, properties and fields that a class defines itself, with their docstrings."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    for statement, after in zip(definition.body, [*definition.body[1:], ast.Pass()], strict=True):
        match statement, after:
            case (ast.FunctionDef() | ast.AsyncFunctionDef()) as function, _:
                name, text = function.name, ast.get_docstring(function) or ""
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                pass
            case ast.AnnAssign(target=ast.Name(id=name)), _:
                text = ""
            case _:
                continue
        if not name.startswith("_") and name != "model_config":
            yield name, text


def faults(released: set[str], names: dict[str, str]) -> list[str]:
    """What a user of the released version would miss, and what does not say since when it is there.

    Members of a class that is new itself need not say so.
    """
    gone = [f"{name} was public and is gone" for name in sorted(released - names.keys())]
    new = {name for name in names if name not in released and not NEW.search(names[name])}
    return gone + [
        f"{name} does not say 'New in version X.Y.Z.'"
        for name in sorted(new)
        if name.rpartition(".")[0] in released or name.rpartition(".")[0] not in names
    ]


def provider(url: str, mode: str) -> SessionProvider[Person, Claims]:
    """The provider that makes and reads the samples. It must stay as it is."""
    return SessionProvider(
        Person,
        secret=_SECRET,
        redis_url=url,
        keyspace=f"{mode}:",
        user_index=True,
        clock=Clock(NOW),
        **MODES[mode],
    )


async def written(url: str, mode: str) -> dict[str, Any]:
    """What a login writes: its token, and every key on an empty server."""
    sessions = provider(url, mode)
    async with sessions:  # and not a tester's block, which would keep the sessions in memory
        login = await AsyncSessionTester(sessions).login({"name": "Ann"}, Claims(sub="ann"))
    with Redis.from_url(url) as redis:
        return {"id": login.id, "token": login.token, "keys": _dump(redis)}


def _dump(redis: Any) -> dict[str, Any]:
    """All keys of the server, bytes as Latin-1."""
    found: dict[str, Any] = {}
    for key in sorted(redis.keys()):
        match redis.type(key):
            case b"string":
                found[key.decode()] = redis.get(key).decode("latin-1")
            case b"hash":
                found[key.decode()] = {a.decode("latin-1"): b.decode("latin-1") for a, b in redis.hgetall(key).items()}
            case b"zset":
                found[key.decode()] = [[a.decode("latin-1"), b] for a, b in redis.zrange(key, 0, -1, withscores=True)]
            case other:
                raise NotImplementedError(other)
    return found


def restore(url: str, keys: dict[str, Any]) -> None:
    """Put the keys of a sample onto a server."""
    with Redis.from_url(url) as redis:
        for key, value in keys.items():
            match value:
                case str():
                    redis.set(key, value.encode("latin-1"))
                case dict():
                    redis.hset(key, mapping={a.encode("latin-1"): b.encode("latin-1") for a, b in value.items()})
                case list():
                    redis.zadd(key, {a.encode("latin-1"): b for a, b in value})
