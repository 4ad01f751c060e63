"""The documentation builds without a warning and without the internet, and shows every public name."""

import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import sync_playwright

import jwtsession
from tests import servers
from tests.example.browsers import QUIET

from .conftest import PAGES, ROOT

SOURCE = "https://github.com/fastapi-jwtsession/fastapi-jwtsession"
REPOSITORY_PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md")]


class Page(HTMLParser):
    """The ids of a built page, and what a browser would fetch for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.fetched: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        self.fetched.append(given.get("src") or "")
        if tag == "link":
            self.fetched.append(given.get("href") or "")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages. A proxy that is not there stands for the internet that is not there."""
    servers.package("mkdocs", "docs")
    folder = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:1")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_is_built(site: Path) -> None:
    """Each page of docs/ has its HTML."""
    for page in PAGES:
        if page.is_relative_to(ROOT / "docs"):
            assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file(), page


def test_the_search_works_from_the_disk(site: Path) -> None:
    """A page that is opened as a file finds what its reader looks for, in a real browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=servers.program("chromium"), args=QUIET)
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.set_default_timeout(15_000)
        page.goto((site / "index.html").as_uri())
        page.keyboard.press("s")
        page.get_by_placeholder("Search").press_sequentially("touch_interval")
        page.locator(".md-search-result__link").first.click()
        page.wait_for_url((site / "concepts.html").as_uri())
        browser.close()


def test_the_home_page_leads_to_every_page() -> None:
    """Its reader finds the line that installs, what is not done, each guide, and every page but the reference's."""
    home = ROOT / "docs/index.md"
    text = home.read_text(encoding="utf-8")
    assert "pip install fastapi-jwtsession\n" in text
    assert "## What it does not do" in text
    folder = ROOT / "docs"
    pages = {str(page.relative_to(folder)) for page in folder.rglob("*.md")} - {"index.md"}
    wanted = {page for page in pages if not page.startswith("reference/")} | {"reference/provider.md"}
    assert wanted == {target.partition("#")[0] for target in links(home)}


def test_the_pages_fetch_nothing_from_outside(site: Path) -> None:
    """Scripts, styles, fonts and images are all in the site."""
    pages = [*site.rglob("*.html")]
    assert pages
    for page in pages:
        for url in Page(page).fetched:
            assert not urlsplit(url).netloc, (page, url)
    for style in site.rglob("*.css"):
        outside = re.findall(r"(?:url\(|@import\s)[\"']?(?:https?:)?//[^)]*", style.read_text(encoding="utf-8"))
        assert not outside, style


def test_the_reference_shows_every_public_name_and_no_private_one(site: Path) -> None:
    """Each name of `__all__` has its place; nothing with an underscore in front has one."""
    shown = set().union(*(Page(page).ids for page in (site / "reference").glob("*.html")))
    names = {name.removeprefix("jwtsession.") for name in shown if name.startswith("jwtsession.")}
    assert set(jwtsession.__all__) <= names
    assert not [name for name in names if re.search(r"(^|\.)_", name)]


def test_the_reference_shows_the_members(site: Path) -> None:
    """Dependencies, verbs, settings and codes stand there, not the class names alone."""
    shown = set().union(*(Page(page).ids for page in (site / "reference").glob("*.html")))
    for name in (
        "SessionProvider.get_session",
        "SessionProvider.lifespan",
        "SessionProvider.authenticate",
        "SessionProvider.revoke",
        "SessionManager.session",
        "SessionManager.ticket",
        "SessionManager.mutate",
        "SyncSessionManager.update",
        "SessionSettings.touch_interval",
        "Claims.exp",
        "SessionStore.update",
    ):
        assert f"jwtsession.{name}" in shown, name


@pytest.mark.parametrize("page", REPOSITORY_PAGES, ids=lambda page: page.name)
def test_the_links_in_the_repository_lead_somewhere(page: Path) -> None:
    """Each link to a file finds it, and its heading; mkdocs looks at the links in docs/ itself."""
    for target in links(page):
        url = urlsplit(target.removeprefix(f"{SOURCE}/blob/main/"))
        if url.scheme:
            continue
        linked = ROOT / unquote(url.path) if url.path else page
        assert linked.is_file(), target
        if url.fragment:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert url.fragment in {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_the_links_of_the_readme_work_where_only_the_readme_is_shown() -> None:
    """The package index shows README.md without the files beside it: each link is absolute, or to its own heading.

    The pictures of the example application are for those who have it: they are seen in the repository only.
    """
    relative = [target for target in links(ROOT / "README.md") if not re.match(r"https?://|#|docs/images/", target)]
    assert relative == []
    for url in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"].values():
        path = url.removeprefix(SOURCE).removeprefix("/blob/main/")
        assert path in ("", "/issues") or (ROOT / path).is_file(), url


def links(page: Path) -> list[str]:
    """What the links and pictures of a page point to."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"\]\(([^)\s]+)\)|^\[[^]]+\]: (\S+)|(?:href|src)=\"([^\"]+)", text, re.MULTILINE)
    return ["".join(each) for each in found]
