"""The headers of an answer, with those that the dependencies of its request want."""

from collections.abc import Sequence

Headers = Sequence[tuple[bytes, bytes]]


def merged(headers: Headers, ours: Headers) -> list[tuple[bytes, bytes]]:
    """The headers of an answer, and ours; each of ours stands once."""
    merged = [*headers]
    for name, value in ours:
        own = [its_value for its_name, its_value in merged if its_name.lower() == name]
        if own:
            value = b", ".join([*own, *_missing(name, value, own)])
            merged = [header for header in merged if header[0].lower() != name]
        merged.append((name, value))
    return merged


def _missing(name: bytes, value: bytes, own: Sequence[bytes]) -> Sequence[bytes]:
    """The members of a header's value that the answer's own header does not have.

    `Cache-Control` and `Vary` are lists, and `Vary: *` names all. The endpoint's own value of any other header stays
    as it is.
    """
    held = {each.strip().lower() for part in own for each in part.split(b",")}
    if name not in (b"cache-control", b"vary") or (name == b"vary" and b"*" in held):
        return ()
    return [each for each in value.split(b", ") if each.lower() not in held]
