"""llms.txt: its code runs, its links lead somewhere, and the built documentation has it."""

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.web import bearer

from .conftest import ROOT
from .test_examples import SYBIL
from .test_site import SOURCE, links
from .test_site import site as site

LLMS = ROOT / "llms.txt"


@pytest.mark.usefixtures("environment")
def test_its_code_does_what_it_says() -> None:
    """One application out of all blocks: every way to change the cart does, the logout is one, and the test passes."""
    document = SYBIL.parse(LLMS)
    document.namespace["__name__"] = "example"
    for example in document.examples():
        example.evaluate()
    found: dict[str, Any] = document.namespace
    with TestClient(found["app"]) as client:
        assert client.post("/session", params={"name": "ann", "password": "guess"}).status_code == 401
        login = {"name": "ann", "password": "secret"}
        headers = bearer(client.post("/session", params=login).json()["access_token"])
        for number, path in enumerate(("/cart", "/cart/saved", "/cart/counted", "/cart/blocking"), 1):
            assert client.post(path, params={"item": path}, headers=headers).status_code == 200
            assert len(client.get("/session", headers=headers).json()["cart"]) == number
        assert client.get("/", headers=headers).json() == {"logged_in": True}
        assert client.get("/").json() == {"logged_in": False}
        assert client.portal is not None
        assert client.portal.call(found["lock_user"], 1) == 1
        assert client.get("/session", headers=headers).status_code == 401
        again = bearer(client.post("/session", params=login).json()["access_token"])
        assert client.delete("/session", headers=again).status_code == 204
        assert client.get("/session", headers=again).status_code == 401
    found["test_a_session_ends"]()


def test_it_has_the_form_of_llmstxt() -> None:
    """A title, a summary, text without headings, and then sections that are lists of links."""
    text = LLMS.read_text(encoding="utf-8")
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert re.match(r"# \w+\n\n> .+\n\n", text)
    head, *sections = re.split(r"^## .+\n", outside, flags=re.MULTILINE)
    assert not re.search(r"^#", head[1:], re.MULTILINE)
    for section in sections:
        assert re.fullmatch(r"\n(- \[[^]]+\]\(\S+\)(: .+)?\n)+\n?", section), section


def test_its_links_lead_to_files() -> None:
    """Each is a file of the repository, and no migration guide is left out."""
    found = {target.removeprefix(f"{SOURCE}/blob/main/") for target in links(LLMS)}
    assert [target for target in found if not (ROOT / target).is_file()] == []
    assert {str(page.relative_to(ROOT)) for page in (ROOT / "docs/migrate").glob("*.md")} <= found


def test_the_built_documentation_has_it(site: Path) -> None:
    """With every page in one file: code that is included stands in it, and code that only proves a page does not."""
    assert (site / "llms.txt").read_text() == LLMS.read_text()
    whole = (site / "llms-full.txt").read_text()
    assert "# Concepts" in whole
    assert "request.session.update(user_id=1, cart=[])" in whole
    assert "invisible-code-block" not in whole
    assert '--8<-- "' not in whole
