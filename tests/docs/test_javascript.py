"""The JavaScript of README and docs runs in Node, and does with each answer what the page says."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import servers

from .conftest import PAGES, ROOT

BLOCKS = [
    (page, code)
    for page in PAGES
    for code in re.findall(r"^```js\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
]
# Stands for the browser: `answers` are what the server says, one after the other; no test waits for a timer.
SCRIPT = """
import { send } from "./send.js";

const [method, data, answers] = JSON.parse(process.argv[2]);
const asked = [];
const outages = [];
const waited = [];
globalThis.setTimeout = (done, milliseconds) => { waited.push(milliseconds); done(); };
globalThis.fetch = async (url, { method, credentials, body, headers }) => {
  asked.push({ url, method, credentials, body, type: headers?.["Content-Type"] });
  const [status, said, given] = answers.shift();
  if (status === 0) throw new TypeError("fetch failed");
  return new Response(said === null ? null : JSON.stringify(said), { status, headers: given });
};
const found = { asked, outages, waited };
try {
  found.result = await send(method, "/cart", data ?? undefined, (seconds) => outages.push(seconds));
} catch ({ name, status, message, stale }) {
  found.error = { status, message, stale };
}
console.log(JSON.stringify(found));
"""


# A socket that the test closes, and an API that answers with these statuses, one after the other.
FOLLOW = """
import { follow } from "./follow.js";

const statuses = JSON.parse(process.argv[2]);
const found = { opened: 0, messages: [], ended: 0, waited: [] };
const settled = () => new Promise((done) => setImmediate(done));
globalThis.setTimeout = (done, milliseconds) => { found.waited.push(milliseconds); setImmediate(done); };
globalThis.fetch = async () => {
  const status = statuses.shift();
  return new Response(status === 200 ? "{}" : '{"detail": "No"}', { status });
};
let socket;
globalThis.WebSocket = class { constructor(url) { found.opened++; found.url = url; socket = this; } };

follow("/live", { onMessage: (data) => found.messages.push(data), onEnd: () => found.ended++ });
socket.onmessage({ data: "tea" });
while (statuses.length) {
  const before = socket;
  socket.onclose({ code: 1008 });
  for (let tick = 0; tick < 50 && socket === before && !found.ended; tick++) await settled();
}
console.log(JSON.stringify(found));
"""


def module(start: str) -> str:
    """The one block of the page on scripts that begins so."""
    (found,) = (code for page, code in BLOCKS if page.name == "page-scripts.md" and code.startswith(start))
    return found


def node(folder: Path, main: str, *arguments: Any) -> Any:
    """What a script prints that may import the guide's modules."""
    files = {"main.js": main, "send.js": module("// send.js"), "follow.js": module("// follow.js")}
    for name, text in (files | {"package.json": '{"type": "module"}'}).items():
        (folder / name).write_text(text, encoding="utf-8")
    command = [servers.program("node"), "main.js", *map(json.dumps, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30, check=True)
    return json.loads(done.stdout)


# An API whose answers have these tokens, each after so many ticks; the requests begin together.
ROTATING = """
import { call, setToken } from "./rotating.js";

const rounds = JSON.parse(process.argv[2]);
const asked = [];
let answers;
globalThis.fetch = async (url, { method, headers }) => {
  asked.push([method, headers.Accept, headers.Authorization]);
  const [ticks, token] = answers.shift();
  for (let tick = 0; tick < ticks; tick++) await new Promise((done) => setImmediate(done));
  return new Response("{}", { headers: token === null ? {} : { "Session-Token": token } });
};
setToken("first");
for (answers of rounds) {
  const request = () => call("/cart", { method: "POST", headers: { Accept: "a" } });
  await Promise.all(Array.from({ length: answers.length }, request));
}
console.log(JSON.stringify(asked));
"""


def test_a_client_takes_the_token_that_replaces_its_own(tmp_path: Path) -> None:
    """The next request has it. Of parallel answers the first counts, and a late one with an older token does not."""
    (code,) = (code for page, code in BLOCKS if page.name == "rotation.md")
    (tmp_path / "rotating.js").write_text(code, encoding="utf-8")
    rounds = [[(0, None)], [(0, "second")], [(0, "third"), (9, "late")], [(0, None)]]
    sent = [token.removeprefix("Bearer ") for _, _, token in node(tmp_path, ROTATING, rounds)]
    assert sent == ["first", "first", "second", "second", "third"]
    assert node(tmp_path, ROTATING, [[(0, None)]]) == [["POST", "a", "Bearer first"]]


def run(tmp_path: Path, method: str, data: Any, *answers: tuple[int, Any, dict[str, str]]) -> dict[str, Any]:
    """What the guide's `send()` does if the server gives these answers: status, body and headers."""
    found: dict[str, Any] = node(tmp_path, SCRIPT, [method, data, answers])
    return found


@pytest.mark.parametrize(("page", "code"), BLOCKS, ids=lambda each: each.name if isinstance(each, Path) else "")
def test_every_block_is_javascript(page: Path, code: str, tmp_path: Path) -> None:
    """Node can read each block."""
    (tmp_path / "block.mjs").write_text(code, encoding="utf-8")
    command = [servers.program("node"), "--check", str(tmp_path / "block.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, (page.relative_to(ROOT), done.stderr)


def test_a_request_and_its_answer(tmp_path: Path) -> None:
    """The body is JSON, the cookie goes with it, and the result is the answer's JSON."""
    found = run(tmp_path, "POST", {"item": "tea"}, (200, ["tea"], {}))
    assert found["result"] == ["tea"]
    (asked,) = found["asked"]
    assert asked == {
        "url": "/cart",
        "method": "POST",
        "credentials": "same-origin",
        "body": '{"item":"tea"}',
        "type": "application/json",
    }
    assert run(tmp_path, "DELETE", None, (204, None, {}))["result"] is None


def test_a_conflict_is_sent_again(tmp_path: Path) -> None:
    """Nothing was stored by a 409, so the same request follows, five times at most."""
    conflict = (409, {"detail": "The session was changed by another request"}, {})
    assert len(run(tmp_path, "POST", {}, conflict, conflict, (200, 1, {}))["asked"]) == 3
    found = run(tmp_path, "POST", {}, *[conflict] * 9)
    assert len(found["asked"]) == 5
    assert found["error"]["status"] == 409


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 500])
def test_a_refusal_is_told_once(tmp_path: Path, status: int) -> None:
    """Any other error is thrown with its status and its text, and nothing is sent again."""
    found = run(tmp_path, "POST", {}, (status, {"detail": "No" if status != 422 else [{"loc": []}]}, {}))
    assert found["error"] == {"status": status, "message": found["error"]["message"], "stale": False}
    assert found["error"]["message"] == ("No" if status != 422 else "This request is wrong.")


def test_an_old_login_is_no_end_of_the_session(tmp_path: Path) -> None:
    """The 401 of `require_fresh()` can be told from that of a session that has ended."""
    challenge = 'Bearer error="insufficient_user_authentication", max_age="300"'
    refused = (401, {"detail": "Not authenticated"}, {"WWW-Authenticate": challenge})
    assert run(tmp_path, "DELETE", None, refused)["error"]["stale"] is True


def test_an_outage_is_waited_out(tmp_path: Path) -> None:
    """A read goes on when the store or the network is back; a write is told after the wait, because it may be done."""
    down = (503, {"detail": "Sessions are unavailable"}, {"Retry-After": "1"})
    found = run(tmp_path, "GET", None, down, (0, None, {}), (200, ["tea"], {}))
    assert found["result"] == ["tea"]
    assert found["outages"] == [1, 2]
    assert found["waited"] == [1000, 2000]
    found = run(tmp_path, "POST", {}, down, (200, 1, {}))
    assert found["error"]["status"] == 503
    assert len(found["asked"]) == 1


def test_a_socket_opens_again_until_the_session_has_ended(tmp_path: Path) -> None:
    """A closed socket asks the server: a session that is there opens it again, after growing pauses; a 401 ends it."""
    found = node(tmp_path, FOLLOW, [200, 200, 403, 401])
    assert found == {"opened": 4, "messages": ["tea"], "ended": 1, "waited": [500, 1000, 2000], "url": "/live"}


def test_a_socket_survives_an_outage(tmp_path: Path) -> None:
    """While the store does not answer, nothing is opened and nobody is logged out."""
    found = node(tmp_path, FOLLOW, [503, 503, 200])
    assert (found["opened"], found["ended"]) == (2, 0)
    assert found["waited"] == [2000, 2000, 500]
