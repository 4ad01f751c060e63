"""Every Python example in README and docs runs, and does over HTTP what the page says."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from tests import servers
from tests.conftest import SECRET

from .conftest import PAGES, ROOT

pytestmark = pytest.mark.ci

SYBIL = Sybil(parsers=[PythonCodeBlockParser()])
WITH_EXAMPLES = [page for page in PAGES if "python\n" in page.read_text(encoding="utf-8")]


def bearer(token: str | httpx2.Response) -> dict[str, str]:
    """The headers that send a token, or the one that a login answered."""
    if not isinstance(token, str):
        assert token.is_success, token.text
        token = token.json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run_from_top_to_bottom(page: Path) -> None:
    """Each block runs after those above it, the invisible ones that prove the others over HTTP too."""
    document = SYBIL.parse(page)
    # `__name__` as in a module: FastAPI and Pydantic look for it.
    document.namespace |= {"__name__": "example", "serve": TestClient, "bearer": bearer}
    for example in document.examples():
        example.evaluate()


def test_no_example_hides_from_the_tests() -> None:
    """Every fence names its language, in the one spelling that the parser knows, and every page with code is run."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        languages = re.findall(r"^[ \t>]*(?:```|~~~)([^\n`]+)$", text, re.MULTILINE)
        # `py`: examples that need other packages. test_other_protocols.py runs them where those are installed.
        assert set(languages) <= {"python", "py", "sh", "json", "text", "js", "nginx"}, page
        fences = re.findall(r"^[ \t>]*(?:```|~~~)", text, re.MULTILINE)
        assert len(fences) == 2 * len(languages), page
        visible = languages.count("python") + text.count("<!-- invisible-code-block: python\n")
        assert visible == len([*SYBIL.parse(page).examples()]), page


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "docs/quickstart.md"])
def test_the_lines_for_the_shell_do_what_the_page_says(name: str, tmp_path: Path) -> None:
    """The page's app.py, started by its own lines without a server, answers its curl lines; last with a 401."""
    servers.program("curl")
    page = ROOT / name
    code = blocks(page, "python")
    application = code[0] if name == "README.md" else "\n".join(code)
    (tmp_path / "app.py").write_text(application, encoding="utf-8")
    shell = blocks(page, "sh")
    (start,) = (block for block in shell if "uvicorn app:app" in block)
    (requests,) = (block for block in shell if "curl" in block)
    port = servers.free_port()
    # The page installs into an environment that is there already here, and the port may be taken.
    start = "\n".join(line for line in start.splitlines() if not line.startswith("pip "))
    start = start.replace("uvicorn app:app", f"exec python -m uvicorn app:app --port {port} --log-level warning")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JWTSESSION_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with subprocess.Popen(["sh", "-c", start], cwd=tmp_path, env=environment) as application_process:
        try:
            lines = [
                line.replace("localhost:8000", f"127.0.0.1:{port}").replace(
                    "curl -s", "curl -s --retry 50 --retry-delay 0 --retry-connrefused"
                )
                for line in requests.splitlines()
            ]
            last = shlex.split(lines[-1])[-1]
            assert "$TOKEN" in last
            script = "\n".join([*lines, 'test -n "$TOKEN" || exit 1'])
            done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True)
        finally:
            application_process.terminate()
    assert done.stdout.startswith('{"user_id":1,"cart":[]} 200\n')
    assert done.stdout.endswith('\n 204\n{"detail":"Not authenticated"} 401\n')


def test_the_lines_for_curl_work_with_an_old_one_and_show_the_status() -> None:
    """`--json` needs curl 7.82, and older ones are common; a 204 shows nothing without its status."""
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.replace("\\\n", "").splitlines()]
    curls = [line for line in lines if "curl " in line]
    assert len(curls) > 5
    assert not [line for line in curls if "--json" in line]
    assert not [line for line in curls if "%{http_code}" not in line and not line.startswith("TOKEN=")]


def test_sessions_live_through_the_reloads_that_the_page_sets_up(tmp_path: Path) -> None:
    """By the page's own lines, with uvicorn's reload, which `fastapi dev` uses: a file changes, the token is good."""
    application = (
        blocks(ROOT / "README.md", "python")[0] + "\n\n@app.get('/pid')\ndef pid() -> int:\n    return os.getpid()\n"
    )
    (tmp_path / "app.py").write_text(f"import os\n{application}", encoding="utf-8")
    (lines,) = (block for block in blocks(ROOT / "docs/guides/embedded.md", "sh") if "fastapi dev" in block)
    port = servers.free_port()
    lines = lines.replace(
        "fastapi dev app.py", f"exec python -m uvicorn app:app --reload --port {port} --log-level error"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JWTSESSION_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    url = f"http://127.0.0.1:{port}"

    def answers(old: int | None = None) -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return bool(httpx2.get(f"{url}/pid").json() != old)
        return False

    with subprocess.Popen(["sh", "-c", lines], cwd=tmp_path, env=environment) as process:
        try:
            servers.until(answers, "the application", seconds=30)
            headers = bearer(httpx2.post(f"{url}/session", json={"name": "ann", "password": "secret"}))
            first = httpx2.get(f"{url}/pid").json()
            (tmp_path / "app.py").write_text(f"import os\n\n{application}", encoding="utf-8")
            servers.until(lambda: answers(first), "the reload", seconds=30)
            assert httpx2.get(f"{url}/session", headers=headers).status_code == 200
        finally:
            process.terminate()


def test_the_guides_tests_of_a_module_run(tmp_path: Path) -> None:
    """Its files, each put together of the blocks that name it, in an environment without settings."""
    for block in blocks(ROOT / "docs/guides/testing.md", "python"):
        if named := re.match(r"# (\w+\.py)\n", block):
            with (tmp_path / named[1]).open("a", encoding="utf-8") as file:
                file.write(f"{block}\n")
    tests = (tmp_path / "test_app.py").read_text(encoding="utf-8").count("\ndef test_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JWTSESSION_")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "jwtsession_pytest",
        "--rootdir",
        str(tmp_path),
        "test_app.py",
        "test_async.py",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert re.search(rf"^{tests + 1} passed", done.stdout, re.MULTILINE), done.stdout


def test_the_readmes_application_needs_the_embedded_extra_only(tmp_path: Path) -> None:
    """It imports and takes a login where no form parser, no hiredis and no cryptography is installed."""
    (tmp_path / "app.py").write_text(blocks(ROOT / "README.md", "python")[0], encoding="utf-8")
    script = """
import sys
sys.modules |= dict.fromkeys(["python_multipart", "multipart", "hiredis", "cryptography"])
from fastapi.testclient import TestClient
from app import app
with TestClient(app) as client:
    assert client.post("/session", json={"name": "ann", "password": "secret"}).status_code == 201
"""
    environment = os.environ | {"JWTSESSION_SECRET": SECRET, "JWTSESSION_REDIS_URL": "embedded://"}
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=tmp_path, env=environment, timeout=60, check=True)
