"""`freeze_once`: Python's garbage collector no longer looks at what the application has made at its start."""

import gc
from functools import cache


@cache
def freeze_once() -> None:
    """Free the garbage, and then freeze every object that there is. Later calls in this process do nothing.

    Else an application that ends would be frozen when the next one starts, and never be freed: in a process of tests
    each of them. Nothing is unfrozen at the end: `gc.unfreeze()` also unfreezes what others have frozen, as a server
    that forks its workers does. Reference counting frees frozen objects as always.
    """
    gc.collect()
    gc.freeze()
