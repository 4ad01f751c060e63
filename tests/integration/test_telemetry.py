"""The dashboard and the alerts of the documentation, on a real Prometheus that asks the guide's application."""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.sync.client import connect

from tests import servers
from tests.conftest import SECRET

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/guides/telemetry.md"
DASHBOARD = json.loads((ROOT / "docs/observability/dashboard.json").read_text())
ALERTS = ROOT / "docs/observability/alerts.yml"
PANELS = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]

MORE = """

from fastapi import WebSocket


@app.put("/session")
async def change(manager: Annotated[SessionManager[UserSession], Depends(sessions.get_manager)]) -> None:
    await manager.mutate(lambda session: setattr(session, "user_id", session.user_id + 1))


@app.websocket("/socket")
async def socket(socket: WebSocket, session: Annotated[UserSession, Depends(sessions.get_session)]) -> None:
    await socket.accept()
    await socket.receive_text()
"""
"""What the guide's application does not need, and the dashboard shows."""

CONFIGURATION = """
global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}
rule_files: [{alerts}]
scrape_configs:
  - job_name: app
    metrics_path: /metrics/
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@contextlib.contextmanager
def running(command: list[str], folder: Path, url: str, **options: Any) -> Iterator[httpx2.Client]:
    """A process that serves HTTP, and a client of it."""
    with (
        (folder / f"{Path(command[0]).name}.log").open("wb") as log,
        httpx2.Client(base_url=url, timeout=10) as client,
        subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, **options) as process,
    ):

        def answers() -> bool:
            with contextlib.suppress(httpx2.HTTPError):
                return client.get("/").status_code < 500
            return False

        try:
            servers.until(answers, command[0], 30)
            yield client
        finally:
            process.terminate()


def traffic(client: httpx2.Client, store: servers.Server, prometheus: httpx2.Client) -> None:
    """Everything that the dashboard shows, also a store that fails."""
    tokens = [client.post("/session").json()["access_token"] for _ in range(3)]
    headers = [{"authorization": f"Bearer {each}"} for each in tokens]

    def all_is_well() -> bool:
        for each in [*headers, {}, {"authorization": "Bearer x.y.z"}]:
            client.get("/session", headers=each)
        client.put("/session", headers=headers[0])
        return scraped(prometheus, 'jwtsession_near_cache_requests_total{result="hit"} > 5')

    def all_at_once() -> None:
        def change() -> None:
            with httpx2.Client(base_url=client.base_url, timeout=10) as other:
                for _ in range(10):
                    other.put("/session", headers=headers[1])

        threads = [threading.Thread(target=change) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    servers.until(all_is_well, "loads from memory")
    servers.until(
        lambda: all_at_once() or scraped(prometheus, 'jwtsession_store_operations_total{result="conflict"} > 0'),
        "a conflict",
    )
    url = f"ws://127.0.0.1:{client.base_url.port}/socket"
    with connect(url, additional_headers=headers[2]):
        servers.until(lambda: scraped(prometheus, "jwtsession_sockets > 0"), "the socket in Prometheus")
        store.stop()

        def fails() -> bool:
            assert client.get("/session", headers=headers[0]).status_code in (200, 503)
            return states(prometheus)["SessionStoreFails"] in ("pending", "firing")

        servers.until(fails, "the alert of a store that fails")


def scraped(prometheus: httpx2.Client, expression: str) -> bool:
    return bool(ask(prometheus, expression))


def ask(prometheus: httpx2.Client, expression: str) -> list[Any]:
    """The result of a query."""
    found = prometheus.get("/api/v1/query", params={"query": expression})
    assert found.status_code == 200, (expression, found.text)
    result: list[Any] = found.json()["data"]["result"]
    return result


def states(prometheus: httpx2.Client) -> dict[str, str]:
    """The alerts' states. Each rule could be evaluated, or was not evaluated yet."""
    (group,) = prometheus.get("/api/v1/rules").json()["data"]["groups"]
    assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"}, group
    return {rule["name"]: rule["state"] for rule in group["rules"]}


def filled(expression: str) -> str:
    """A query as Grafana sends it, for all jobs."""
    return re.sub(r"\$(job|instance|provider)\b", ".*", expression.replace("$__rate_interval", "30s"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The guide's application, as app.py."""
    code = re.search(r"^```py\n(.*?PrometheusMetricReader.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert code is not None
    (tmp_path / "app.py").write_text(code[1] + MORE, encoding="utf-8")
    return tmp_path


@pytest.mark.ci
def test_every_query_of_the_dashboard_and_every_alert_works_on_a_real_prometheus(
    folder: Path, own_server: servers.Server
) -> None:
    """Each query has data, each rule is evaluated, and the alert of a failing store wakes up."""
    program = servers.program("prometheus")
    port, own_port = servers.free_port(), servers.free_port()
    (folder / "prometheus.yml").write_text(CONFIGURATION.format(alerts=ALERTS, port=port))
    environment = os.environ | {
        "JWTSESSION_SECRET": SECRET,
        "JWTSESSION_REDIS_URL": own_server.url,
        "JWTSESSION_NEAR_CACHE_BYTES": "1000000",
        "JWTSESSION_TOUCH_INTERVAL": "60",
    }
    application = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "warning"]
    collector = [program, "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{own_port}"]
    collector += ["--storage.tsdb.path=data", "--storage.tsdb.retention.time=1h"]
    with (
        running(application, folder, f"http://127.0.0.1:{port}", env=environment) as client,
        running(collector, folder, f"http://127.0.0.1:{own_port}") as prometheus,
    ):
        traffic(client, own_server, prometheus)
        found = [(title, query, ask(prometheus, filled(query))) for title, query in QUERIES]
        assert [(title, query) for title, query, result in found if not result] == []
        values = {title: [float(each["value"][1]) for each in result] for title, _, result in found}
        for title in ("Requests", "Refused", "Store failures", "Load, p99", "Hits of the caches", "Conflicts"):
            assert max(values[title]) > 0, (title, values[title])
        assert len(states(prometheus)) == 4
        assert states(prometheus)["SessionEventsAreLost"] == "inactive"


def test_each_alert_fires_where_it_should_and_nowhere_else(tmp_path: Path) -> None:
    """By promtool, on numbers of an hour."""
    program = servers.program("promtool")
    tests = (Path(__file__).parent / "alerts_test.yml").read_text().replace("ALERTS", str(ALERTS))
    (tmp_path / "tests.yml").write_text(tests)
    for command in ("check", "rules", str(ALERTS)), ("test", "rules", "tests.yml"):
        done = subprocess.run([program, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_guide_names_the_alerts() -> None:
    """All four, and no other."""
    table = re.findall(r"^\| `(Session\w+|Replaced\w+)` \|", GUIDE.read_text(), re.MULTILINE)
    assert table == re.findall(r"alert: (\w+)", ALERTS.read_text())
    assert len(table) == 4


def test_the_dashboard_is_one_that_grafana_can_import() -> None:
    """Each panel has its place, a query and the data source that the reader chooses; no two overlap."""
    assert DASHBOARD["title"]
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "job", "instance", "provider"]
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert len({each["id"] for each in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    for panel in PANELS:
        assert panel["type"] in ("stat", "timeseries")
        assert panel["datasource"] == source
        assert panel["targets"]
        assert all(target["datasource"] == source and target["refId"] for target in panel["targets"])
