"""What objects consist of: to look at all that a provider holds without naming any of it."""

import gc
from typing import TypeVar

T = TypeVar("T")

CONTAINERS = (dict, list, tuple, set, frozenset)


def parts(*objects: object) -> list[object]:
    """These objects, and all instances of the package's classes that they hold, however deep."""
    found: dict[int, object] = {}
    waiting: list[object] = [*objects]
    while waiting:
        each = waiting.pop()
        if id(each) in found or not (is_ours(each) or isinstance(each, CONTAINERS)):
            continue
        found[id(each)] = each
        waiting += gc.get_referents(each)
    return [each for each in found.values() if is_ours(each)]


def parts_of(owner: object, kind: type[T]) -> list[T]:
    """Those of an object's parts that are of a class."""
    return [each for each in parts(owner) if isinstance(each, kind)]


def is_ours(each: object) -> bool:
    return any(base.__module__.partition(".")[0] == "jwtsession" for base in type(each).__mro__)
