"""Prints the Pythons of pyproject.toml's classifiers, as the output `pythons` of a workflow's step."""

import json
import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def main() -> str:
    """`pythons=["3.11", ...]`."""
    classifiers = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["classifiers"]
    found = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each) for each in classifiers]
    return f"pythons={json.dumps([each[1] for each in found if each])}"


if __name__ == "__main__":
    print(main())
