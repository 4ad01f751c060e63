"""Tests of jwtsession.web.answers.headers: what dependencies add to an answer's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwtsession.web.answers.headers import Headers, merged
from tests.properties import exact

OURS: Headers = (
    (b"cache-control", b"no-store"),
    (b"vary", b"Authorization, Cookie"),
    (b"referrer-policy", b"no-referrer"),
)


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ([], list(OURS)),
        ([(b"x-other", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")], None),
        ([(b"Cache-Control", b"private")], [(b"cache-control", b"private, no-store"), *OURS[1:]]),
        ([(b"cache-control", b"No-Store")], [(b"cache-control", b"No-Store"), *OURS[1:]]),
        (
            [(b"cache-control", b"private"), (b"cache-control", b"max-age=1")],
            [(b"cache-control", b"private, max-age=1, no-store"), *OURS[1:]],
        ),
        ([(b"cache-control", b"*")], [(b"cache-control", b"*, no-store"), *OURS[1:]]),
        ([(b"VARY", b"accept,cookie")], [OURS[0], (b"vary", b"accept,cookie, Authorization"), OURS[2]]),
        ([(b"vary", b"*")], [OURS[0], (b"vary", b"*"), OURS[2]]),
        ([(b"referrer-policy", b"same-origin")], [*OURS[:2], (b"referrer-policy", b"same-origin")]),
    ],
    ids=["none", "others", "list", "has it", "two lines", "star", "vary", "vary star", "its own policy"],
)
def test_the_endpoint_s_lists_get_what_they_lack(own: Headers, expected: Headers | None) -> None:
    """`Cache-Control` and `Vary` are completed, in one line each; any other header of the endpoint's stays as it is."""
    assert merged(own, OURS) == ([*own, *OURS] if expected is None else expected)


def test_nothing_changes_the_headers_that_were_given() -> None:
    """An application may use its list of headers again."""
    own = [(b"cache-control", b"private")]
    merged(own, OURS)
    assert own == [(b"cache-control", b"private")]


NAMES = st.sampled_from([b"cache-control", b"Cache-Control", b"Vary", b"vary", b"referrer-policy", b"x-other"])
VALUES = st.lists(st.sampled_from([b"no-store", b"No-Store", b"private", b"Cookie", b"*", b"", b" "])).map(b",".join)


@exact(400)
@given(st.lists(st.tuples(NAMES, VALUES)))
def test_however_the_endpoint_s_headers_look_ours_stand_once(own: list[tuple[bytes, bytes]]) -> None:
    """Each of ours is in one line, `no-store` is always there, nothing of the endpoint's is lost; twice is as once."""
    found = merged(own, OURS)
    for name, value in OURS:
        (line,) = [its_value for its_name, its_value in found if its_name.lower() == name]
        members = {each.strip().lower() for each in line.split(b",")}
        if name == b"cache-control" or (name == b"vary" and b"*" not in members):
            assert {each.lower() for each in value.split(b", ")} <= members
        assert all(its_value in line for its_name, its_value in own if its_name.lower() == name)
    assert [each for each in found if each[0] == b"x-other"] == [each for each in own if each[0] == b"x-other"]
    assert merged(found, OURS) == found
