"""`Script`: a Lua script of the folder `lua`."""

import hashlib
from pathlib import Path

_FOLDER = Path(__file__).with_name("lua")


class Script:
    """A script's source, and the SHA-1 by which a server that has loaded it knows it.

    Args:
        name: The file's name.
    """

    def __init__(self, name: str) -> None:
        self.source = (_FOLDER / name).read_bytes()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()
