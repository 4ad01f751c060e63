"""Keeps what the version in the code promises: `python -m tests.versions`, once, before its release."""

import asyncio
import json
import tempfile
from pathlib import Path

import jwtsession
from tests import servers

from . import MODES, public_names, written


async def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        server = servers.valkey(Path(folder)).start()
        try:
            samples = {}
            for mode in MODES:
                server.command("FLUSHALL")
                samples[mode] = await written(server.url, mode)
        finally:
            server.stop()
    kept = {"names": sorted(public_names()), "samples": samples}
    path = Path(__file__).parent / f"{jwtsession.__version__}.json"
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
