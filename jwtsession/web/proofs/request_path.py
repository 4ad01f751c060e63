"""The path of a request as its client wrote it, below the application's public URL."""

from urllib.parse import quote

from starlette.types import Scope

_UNTOUCHED = "/!$&'()*+,;=:@~"
"""What stands for itself in a path (RFC 3986 section 3.3)."""


def path_below_root(scope: Scope) -> str:
    """Return the path of a request without the prefix under which the outermost application is served.

    A proxy may have removed that prefix (`root_path`) from the path or not, and servers differ in whether they put it
    back: uvicorn does, Hypercorn does not. Starlette accepts both, and so does this. The path of a mounted application
    is a part of the path: clients see it.

    Args:
        scope: The request's ASGI scope, also one that `Mount` made.

    Returns:
        The path as the client percent-encoded it, without the query. If the server tells only the decoded path, it is
        encoded again.
    """
    root: str = scope.get("app_root_path", scope.get("root_path", "")).rstrip("/")
    raw: bytes | None = scope.get("raw_path")
    # Some test clients leave the query in it.
    path = raw.partition(b"?")[0].decode("latin-1") if raw else quote(scope["path"], safe=_UNTOUCHED)
    for prefix in (root, quote(root, safe=_UNTOUCHED)) if root else ():
        if path == prefix or path.startswith(f"{prefix}/"):
            return path[len(prefix) :]
    return path
