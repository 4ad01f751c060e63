"""The URL of a request in its normal form (RFC 3986 sections 6.2.2 and 6.2.3), as the claim `htu` of a proof has it."""

import re

# RFC 3986 appendix B, for a URL with an authority. A URI is of printable ASCII characters alone (section 2).
_URL = re.compile(r"(?=[!-~]*\Z)([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?[^#]*)?(?:#.*)?")
_PATH = re.compile(r"(?!.*/(?:\.|%2[Ee]){1,2}(?:/|\Z))(?:/[!\"$->@-~]*)?")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")  # RFC 3986 section 2.3
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def normal_url(url: str) -> str | None:
    """Return a URL in its normal form, without its query and its fragment (RFC 9449 section 4.3).

    Returns:
        The URL; None if the text is no absolute URL.
    """
    parts = _URL.fullmatch(url)
    if parts is None:
        return None
    scheme = parts[1].lower()
    authority = _ENCODED.sub(_decoded, parts[2]).lower().removesuffix(_DEFAULT_PORTS.get(scheme, ":")).removesuffix(":")
    return f"{scheme}://{authority}{normal_path(parts[3])}"


def is_path(path: str) -> bool:
    """Whether a client that follows the standard may ask for this path: no query, fragment or dot segment is in it.

    Clients remove the segments `.` and `..` before they send a path (RFC 3986 section 5.2.4), but nobody has to. No
    router does: with `/files/../me`, the proof for `/me` would be one for another endpoint. With a `#`, too.
    """
    return _PATH.fullmatch(path) is not None


def normal_path(path: str) -> str:
    """Return a path in its normal form. It begins with a slash, or is empty: then it stands for `/`."""
    if "%" in path:
        path = _ENCODED.sub(_decoded, path)
    if "/." not in path:
        return path or "/"
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:  # RFC 3986 section 5.2.4
        if segment == "..":
            kept[-1:] = []
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _decoded(encoded: re.Match[str]) -> str:
    """The character, if it is one that needs no encoding; otherwise its encoding in upper case."""
    character = chr(int(encoded[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else encoded[0].upper()
