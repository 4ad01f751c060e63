"""The command line: `jwtsession`, or `python -m jwtsession`. Nothing of the package imports it."""

from .main import main

__all__ = ["main"]
