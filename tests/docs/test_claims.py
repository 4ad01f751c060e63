"""What the tables and lists of README and docs say is what the code does."""

import ast
import inspect
import re
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr

import jwtsession
from jwtsession import Claims, Session, SessionManager, SessionProvider, SessionSettings, Token
from jwtsession.settings._messages import places
from jwtsession.settings.options import TokenSource
from tests import servers
from tests.conftest import SECRET

from .conftest import ROOT

README = ROOT / "README.md"


def tables(page: Path, heading: str) -> list[list[list[str]]]:
    """The tables of a section: their rows without the header, each a list of cells."""
    text = re.split(rf"^## {heading}$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    section = re.split(r"^## ", text, flags=re.MULTILINE)[0]
    found = re.findall(r"^\|.*\|\n\|[-|]+\|\n((?:\|.*\|\n)+)", section, re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()] for table in found]


def rows(page: Path, heading: str) -> list[list[str]]:
    (table,) = tables(page, heading)
    return table


def plain(default: Any) -> Any:
    return default.get_secret_value() if isinstance(default, SecretStr) else default


def test_the_settings_table_is_the_settings() -> None:
    """Every setting has its row, in the order of the code, with its default and its environment variable."""
    table = rows(ROOT / "docs/settings.md", "All settings")
    fields = {".".join(map(str, place)): field for place, field in places(SessionSettings).items()}
    assert [name.strip("`") for name, *_ in table] == [*fields]
    for name, default, unit, environment, meaning in table:
        field = fields[name.strip("`")]
        assert ast.literal_eval(default.strip("`")) == plain(field.default), name
        assert environment == f"`JWTSESSION_{name.strip('`').replace('.', '_').upper()}`"
        assert (unit == "seconds") == ("econds" in inspect_doc(name.strip("`"))), name
        assert meaning.endswith(".")


def test_the_short_table_of_settings_is_part_of_the_whole_one() -> None:
    """The README shows some rows of the table, in its order and in its words."""
    whole = rows(ROOT / "docs/settings.md", "All settings")
    short = rows(README, "Settings")
    assert short == [row for row in whole if row in short]
    assert 10 <= len(short) < len(whole)


def inspect_doc(setting: str) -> str:
    """The text under a setting in the code."""
    group, _, name = setting.rpartition(".")
    source = inspect.getsource(SessionSettings.model_fields[group].annotation if group else SessionSettings)
    found = re.search(rf'^    {name}: .*?"""(.*?)"""', source, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_errors_table_is_the_error_tree() -> None:
    """Every error that can be met has its row, with its status."""
    table = {name.strip("`"): answer for name, answer, _ in rows(README, "Errors")}
    abstract = {"JWTSessionError", "AuthenticationError"}
    errors = {name for name in jwtsession.__all__ if name.endswith("Error")} - abstract
    assert set(table) == errors
    for name, answer in table.items():
        status = getattr(getattr(jwtsession, name), "status", None)
        assert answer == (str(status) if status else {"ConfigurationError": "at start"}.get(name, "500"))


def test_the_tree_in_the_reference_is_the_error_tree() -> None:
    """Each line of the drawing stands under its base class, with its status."""
    (tree,) = re.findall(r"```text\n(.*?)```", (ROOT / "docs/reference/errors.md").read_text(), re.DOTALL)
    above: list[str] = []
    shown = set()
    for line in tree.splitlines():
        indent, name, answer = re.fullmatch(r"([│├└─ ]*)(\w+) *(.*)", line).groups()  # type: ignore[union-attr]
        depth = len(indent) // 4
        error = getattr(jwtsession, name)
        if depth:
            assert issubclass(error, getattr(jwtsession, above[depth - 1])), name
        if answer.isdecimal() and answer != "500":
            assert error.status == int(answer)
        above[depth:] = [name]
        shown.add(name)
    assert shown == {name for name in jwtsession.__all__ if name.endswith("Error")}


def test_the_codes_in_the_reference_are_those_of_the_code() -> None:
    """Every `code` that the package gives to an error has its row, with its class, and no other."""
    told = {code.strip("`"): error.strip("`") for code, error, _ in rows(ROOT / "docs/reference/errors.md", "Codes")}
    given = {"configuration": "ConfigurationError", "invalid_argument": "InvalidArgumentError"}
    for name in jwtsession.__all__:
        if name.endswith("Error"):
            given.setdefault(getattr(jwtsession, name).code, name)
    for source in (ROOT / "jwtsession").rglob("*.py"):
        raised = re.findall(r"\b(\w+Error)\(\"([a-z_]+)\"[,)]", source.read_text(encoding="utf-8"))
        given |= {code: error for error, code in raised if error in jwtsession.__all__}
    abstract = {"error", "authentication", "invalid_token", "invalid_proof"}  # always replaced by a closer one
    assert told == {code: error for code, error in given.items() if code not in abstract}


def test_the_page_on_refused_requests_knows_every_code() -> None:
    """Each code that a client's request can get has its row, under its status."""
    page = ROOT / "docs/troubleshooting.md"
    at_401 = {code.strip("`") for code, _, _ in rows(page, "By code")}
    others = {code.strip("`"): status for status, code, _ in rows(page, "It is no 401")}
    wanted: dict[str, str] = {}
    for code, error, _ in rows(ROOT / "docs/reference/errors.md", "Codes"):
        wanted[code.strip("`")] = str(getattr(getattr(jwtsession, error.strip("`")), "status", 500))
    assert at_401 == {code for code, status in wanted.items() if status == "401"}
    assert others.items() <= wanted.items()
    rare = {"configuration", "destroy_not_confirmed", "index_corrupt", "session_id_taken"}
    assert set(others) == set(wanted) - at_401 - rare


def test_the_verbs_table_names_every_verb() -> None:
    """The verbs are those of the manager that can be awaited, and the synchronous face has them all."""
    table = {re.match(r"`(\w+)\(", verb)[1] for verb, *_ in rows(README, "The verbs")}  # type: ignore[index]
    internal = {"authenticate", "extend"}
    methods = inspect.getmembers(SessionManager, inspect.iscoroutinefunction)
    assert table == {name for name, _ in methods if not name.startswith("_")} - internal
    assert table <= set(dir(jwtsession.SyncSessionManager))


def test_the_sources_table_names_every_source() -> None:
    """Each place has its row, and says whether it is on by default."""
    table = {source.strip("`"): default for source, _, default in rows(README, "Where the token is looked for")}
    assert set(table) == {*get_args(TokenSource)}
    on = {source for source, default in table.items() if default == "on"}
    assert on == set(SessionSettings(secret=SECRET).token_sources)


def test_the_extras_are_those_of_the_package() -> None:
    """The installation's table names the extras that pyproject.toml has."""
    table = {re.search(r"\[(\w+)\]", extra)[1] for extra, _ in rows(README, "Installation")}  # type: ignore[index]
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = pyproject.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    assert table == set(re.findall(r"^(\w+) =", section, re.MULTILINE))


def test_the_node_page_tells_what_node_compatible_sets() -> None:
    """The second table is what differs from the defaults, no more and no less."""
    _, table = tables(ROOT / "docs/guides/node.md", "What must agree")
    said = {name.strip("`"): ast.literal_eval(value.strip("`")) for name, value, _ in table}
    shared = SessionSettings.node_compatible(secret=SECRET).model_dump()
    usual = SessionSettings(secret=SECRET).model_dump()
    assert said == {name: value for name, value in shared.items() if value != usual[name]}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_files_that_a_page_names_are_there(page: str) -> None:
    """Each file and each folder in backticks is one of the repository's, named from its root or within its room."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`([\w./]+(?:\.py|\.md|\.toml|\.txt|/))`", re.sub(r"tests/versions/X\.Y\.Z\.json", "", text))
    assert len(named) > 10
    there = [each for room in ("jwtsession", "tests") for each in (ROOT / room).rglob("*")]
    for name in named:
        parts = Path(name).parts
        assert (ROOT / name).exists() or any(each.parts[-len(parts) :] == parts for each in there), name


@pytest.mark.parametrize("feature", [None, "user_index", "rotation"])
def test_the_rights_in_the_storage_guide_are_enough(valkey: servers.Server, feature: str | None) -> None:
    """A Redis user with just these rights does for every verb."""
    rights = re.findall(r"```text\n(.*?)\n```", (ROOT / "docs/guides/stored.md").read_text(encoding="utf-8"))
    assert len(rights) == 3
    assert rights[0].startswith("~sess:* -@all")
    user_index, rotates = feature == "user_index", feature == "rotation"
    given = " ".join([rights[0], *rights[1:2] * user_index, *rights[2:] * rotates]).split()
    assert valkey.command("ACL", "SETUSER", "sessions", "reset", "on", ">password", *given) == b"+OK\r\n"
    url = f"redis://sessions:password@127.0.0.1:{valkey.port}/0"
    options: dict[str, Any] = {"user_index": True, "max_sessions": 5} if user_index else {}
    options |= {"rotation": {"after": 1}} if rotates else {}
    # touch_interval=0: every read extends the session's life.
    sessions = SessionProvider(secret=SECRET, redis_url=url, touch_interval=0, **options)
    app = FastAPI(lifespan=sessions.lifespan)

    @app.get("/ping")
    async def ping() -> bool:
        return await sessions.ping()

    @app.post("/")
    async def everything(manager: Annotated[SessionManager[Session, Claims], Depends(sessions.get_manager)]) -> Token:
        await manager.create({"n": 1}, Claims(sub="1"))
        await manager.touch()
        await manager.update({"n": 2})
        await manager.mutate(lambda session: None)
        await manager.regenerate()
        if rotates:
            await manager.refresh()
        await manager.destroy()
        if user_index:
            await manager.create({"n": 1}, Claims(sub="1"))
            await manager.destroy_others()
            assert len(await sessions.list_sessions("1")) == 1
            assert await sessions.revoke_all("1") == 1
        return await manager.create({"n": 1}, Claims(sub="1"))

    @app.get("/")
    async def read(session: Annotated[Session, Depends(sessions.get_session)]) -> Session:
        return session

    try:
        with TestClient(app) as client:
            assert client.get("/ping").json() is True
            token = client.post("/").json()["access_token"]
            assert client.get("/", headers={"Authorization": f"Bearer {token}"}).json() == {"n": 1}
    finally:
        valkey.command("ACL", "DELUSER", "sessions")
