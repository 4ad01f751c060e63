"""Puts llms.txt into the built documentation, and beside it llms-full.txt: every page of the navigation as Markdown."""

import re
import shutil
from pathlib import Path
from typing import Any

INVISIBLE = re.compile(r"<!-- invisible-code-block.*?-->\n+", re.DOTALL)
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
_pages: dict[str, str] = {}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> None:
    """Keep what a page says, with the files that it includes, and without the code that only proves it."""
    included = INCLUDED.sub(lambda found: Path(found[1]).read_text(encoding="utf-8").rstrip(), markdown)
    _pages[page.file.src_uri] = INVISIBLE.sub("", included).strip()


def on_post_build(config: Any, **_: Any) -> None:
    """Write both files. The reference is left out: it is made from the code when a page is rendered."""
    site, root = Path(config["site_dir"]), Path(config["config_file_path"]).parent
    shutil.copy(root / "llms.txt", site)
    whole = [text for name, text in _pages.items() if not name.startswith("reference/")]
    (site / "llms-full.txt").write_text("\n\n".join(whole) + "\n", encoding="utf-8")
