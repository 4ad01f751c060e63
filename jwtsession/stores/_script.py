"""`Script`: a Lua script beside the code."""

import hashlib
from pathlib import Path


class Script:
    """A script, and the name by which a server that has it knows it.

    Args:
        name: Of the file in this folder.
    """

    def __init__(self, name: str) -> None:
        self.source = (Path(__file__).parent / name).read_bytes()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()
