"""Makes the virtual environment of the Makefile's targets, or says what this Python lacks for it.

It is started by whatever `python3` is, an old one too: that has to understand it well enough to be told so.
"""

import subprocess
import sys
from pathlib import Path

IDENTITY = "import pip, sys; print(sys.version.split()[0], sys.base_prefix)"  # without pip it is no use
OTHER = "Or name another Python: make ... PYTHON=python3.12"


def main(folder):
    """Make the folder anew unless it is this Python's already; the reason, where it can't be made."""
    version = sys.version.split()[0]
    if sys.version_info < (3, 11):  # noqa: UP036
        return f"Python 3.11 or newer is needed, and {sys.executable} is {version}.\n{OTHER}"
    python = folder / "bin" / "python"
    if python.exists():
        found = subprocess.run([python, "-c", IDENTITY], capture_output=True, text=True, check=False)
        if found.stdout == f"{version} {sys.base_prefix}\n":
            return None
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError as error:
        package = "python3" if sys.executable == "/usr/bin/python3" else "python%d.%d" % sys.version_info[:2]
        return (
            f"{sys.executable} (Python {version}) can't make an environment: it has no module {error.name}.\n"
            f"On Debian and Ubuntu: apt install {package}-venv\n{OTHER}"
        )
    print(f"Making {folder} with Python {version}", flush=True)
    venv.create(folder, clear=True, symlinks=True, with_pip=True)
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
