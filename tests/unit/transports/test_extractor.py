"""Tests of jwtsession.transports.extractor, and of what each transport gives it."""

import json
from typing import Any

import pytest

from jwtsession import AmbiguousTokenError, AuthenticationError, MissingTokenError
from jwtsession.transports.body import MAX_BODY_BYTES, MAX_BODY_FIELDS
from tests.unit.conftest import World
from tests.unit.transports.conftest import EVERYWHERE, FORM, JSON, extractor, request


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("bearer", lambda: request(("Authorization", "Bearer t"))),
        ("bearer", lambda: request(("Authorization", "bEARER   t  "))),
        ("bearer", lambda: request(("Authorization", "Basic x"), ("Authorization", "Bearer t"))),
        ("header", lambda: request(("X-Access-Token", " t "))),
        ("query", lambda: request(query="a=b&accessToken=t")),
        ("query", lambda: request(query="access%54oken=t")),
        ("cookie", lambda: request(("Cookie", "a=b; session=t"), method="GET")),
        ("body", lambda: request(body=b'{"accessToken": "t", "x": 1}', kind=JSON)),
        ("body", lambda: request(body=b'{"accessToken": "t"}', kind="Application/JSON; charset=utf-8")),
        ("body", lambda: request(body=b"x=1&accessToken=t", kind=FORM)),
        ("body", lambda: request(body=b"accessToken=t", kind=FORM, method="DELETE")),
    ],
)
async def test_each_source_finds_its_token_and_no_other_source_does(source: str, made: Any) -> None:
    """A token is found where its source looks, and nowhere else."""
    assert await extractor(source).extract(made()) == ("t", source)
    for other in {*EVERYWHERE, "cookie"} - {source}:
        with pytest.raises(MissingTokenError):
            await extractor(other).extract(made())


@pytest.mark.parametrize(
    "made",
    [
        lambda: request(),
        lambda: request(("Authorization", "Bearer")),
        lambda: request(("Authorization", "Bearer  ")),
        lambda: request(("Authorization", "Basic dDp0")),
        lambda: request(("X-Access-Token", "")),
        lambda: request(query="accessToken="),
        lambda: request(body=b'{"accessToken": ""}', kind=JSON),
        lambda: request(body=b'{"accessToken": null}', kind=JSON),
        lambda: request(body=b'{"nested": {"accessToken": "t"}}', kind=JSON),
        lambda: request(body=b'["accessToken"]', kind=JSON),
        lambda: request(body=b'{"accessToken": "t"', kind=JSON),
        lambda: request(body=b'[{"accessToken": "t"}]', kind=JSON),
        lambda: request(body=b'[["accessToken", "t"]]', kind=JSON),
        lambda: request(body=b"accessToken=t" + b"&a=b" * MAX_BODY_FIELDS, kind=FORM),
        lambda: request(body=b"accessToken=t" + b"&a=" + b"b" * MAX_BODY_BYTES, kind=FORM),
        lambda: request(("Transfer-Encoding", "chunked"), body=b'{"accessToken": "t"}', kind=JSON),
        lambda: request(("Authorization", "Bearer\tt")),
        lambda: request(body=b"[" * 5000, kind=JSON),
        lambda: request(body=b"\xff", kind=JSON),
        lambda: request(body=b'{"accessToken": "t"}'),
        lambda: request(body=b'{"accessToken": "t"}', kind="text/plain"),
        lambda: request(body=b'{"accessToken": "t"}', kind="application/jsonp"),
        lambda: request(body=b"accessToken=t", kind="multipart/form-data"),
        lambda: request(body=b'{"accessToken": "t"}', kind=JSON, method="GET"),
        lambda: request(body=b"accessToken=t", kind=FORM, method="HEAD"),
        lambda: request(body=b'{"accessToken": "t"}', kind=JSON, length=False),
        lambda: request(body=json.dumps({"accessToken": "t", "x": "y" * MAX_BODY_BYTES}).encode(), kind=JSON),
        lambda: request(("Content-Length", "+5"), body=b"accessToken=t", kind=FORM, length=False),
    ],
    ids=range(28),
)
async def test_what_is_no_token_is_missing(made: Any) -> None:
    """Empty values, other schemes, other content types, GET, bodies that are too long, or of unknown length."""
    with pytest.raises(MissingTokenError):
        await extractor(*EVERYWHERE).extract(made())


@pytest.mark.parametrize(
    "made",
    [
        lambda: request(("Authorization", "Bearer t"), ("Authorization", "Bearer u")),
        lambda: request(("Authorization", "Bearer"), ("Authorization", "Bearer t")),
        lambda: request(("X-Access-Token", "t"), ("X-Access-Token", "u")),
        lambda: request(query="accessToken=t&accessToken=u"),
        lambda: request(query="accessToken=&accessToken=t"),
        lambda: request(query="access%54oken=t&accessToken=u"),
        lambda: request(body=b'{"accessToken": "t", "accessToken": "u"}', kind=JSON),
        lambda: request(body=b'{"accessToken": null, "accessToken": "t"}', kind=JSON),
        lambda: request(body=b'{"accessToken": "t", "accessToken": {}}', kind=JSON),
        lambda: request(body=b'{"access\\u0054oken": "u", "accessToken": "t"}', kind=JSON),
        lambda: request(body=b"accessToken=t&accessToken=u", kind=FORM),
        lambda: request(body=b"accessToken=t&accessToken=", kind=FORM),
        lambda: request(body=b"access%54oken=u&accessToken=t", kind=FORM),
        lambda: request(("Authorization", "Bearer t"), ("X-Access-Token", "u")),
        lambda: request(("Authorization", "Bearer t"), query="accessToken=u"),
        lambda: request(("Authorization", "Bearer t"), body=b'{"accessToken": "u"}', kind=JSON),
        lambda: request(("Authorization", "Bearer t"), ("X-Access-Token", "t"), query="accessToken=u"),
    ],
    ids=range(17),
)
async def test_two_different_tokens_are_ambiguous(made: Any) -> None:
    """Two that differ are refused (RFC 6750 section 2), and so is one place with a token and something else."""
    with pytest.raises(AmbiguousTokenError):
        await extractor(*EVERYWHERE).extract(made())


@pytest.mark.parametrize(
    "made",
    [
        lambda: request(("Authorization", "Bearer t"), ("Authorization", "bearer  t")),
        lambda: request(query="accessToken=t&accessToken=t"),
        lambda: request(body=b'{"accessToken": "t", "accessToken": "t"}', kind=JSON),
        lambda: request(("Authorization", "Bearer t"), ("X-Access-Token", "t")),
        lambda: request(("Authorization", "Bearer t"), ("X-Access-Token", "")),
        lambda: request(("Authorization", "Bearer t"), query="accessToken=t"),
        lambda: request(("Authorization", "Bearer t"), body=b"accessToken=t", kind=FORM),
    ],
    ids=range(7),
)
async def test_the_same_token_twice_is_one_token(made: Any) -> None:
    """In one place or in two: generated clients fill in every place that they know."""
    assert await extractor(*EVERYWHERE).extract(made()) in [("t", source) for source in EVERYWHERE]


@pytest.mark.parametrize("odd", ["\xa0", "\x85", "\x0b", "\x0c", "\x1f"])
@pytest.mark.parametrize("form", ["{odd}t", "t{odd}"])
async def test_only_http_s_own_whitespace_is_stripped(odd: str, form: str) -> None:
    """What Python takes for whitespace and HTTP does not stays in the token, which is none then."""
    value = form.format(odd=odd)
    assert await extractor("bearer").extract(request(("Authorization", f"Bearer {value}"))) == (value, "bearer")
    assert await extractor("header").extract(request(("X-Access-Token", value))) == (value, "header")
    with pytest.raises(MissingTokenError):
        await extractor("bearer").extract(request(("Authorization", f"Bearer{odd}t")))


@pytest.mark.parametrize(
    "value", ["Bearer {0},", "Bearer {0}, Bearer {0}", "Bearer {0},{0}", "Bearer \t{0}", "Bearer\t{0}"]
)
async def test_a_comma_or_a_tab_within_the_header_is_a_401(world: World, value: str) -> None:
    """Joined headers and other separators than a space make no token (RFC 9110 section 11.4)."""
    made = request(("Authorization", value.format(await world.log_in())), method="GET")
    with pytest.raises(AuthenticationError):
        await world.provider.get_session(made)


async def test_the_first_source_wins_where_it_may() -> None:
    """In the original's way the order of the sources decides; one source that holds two is refused all the same."""
    original = extractor("header", "query", "body", first_wins=True)
    everything = {"query": "accessToken=q", "body": b'{"accessToken": "b"}', "kind": JSON}
    assert await original.extract(request(("X-Access-Token", "h"), **everything)) == ("h", "header")
    assert await original.extract(request(("X-Access-Token", ""), **everything)) == ("q", "query")
    assert await original.extract(request(body=b'{"accessToken": "b"}', kind=JSON)) == ("b", "body")
    with pytest.raises(AmbiguousTokenError):
        await original.extract(request(query="accessToken=a&accessToken=b"))


@pytest.mark.parametrize("first_wins", [False, True])
@pytest.mark.parametrize("sources", [("cookie", *EVERYWHERE), (*EVERYWHERE, "cookie")])
@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("bearer", lambda *cookies: request(("Authorization", "Bearer t"), *cookies)),
        ("header", lambda *cookies: request(("X-Access-Token", "t"), *cookies)),
        ("query", lambda *cookies: request(*cookies, query="accessToken=t")),
        ("body", lambda *cookies: request(*cookies, body=b'{"accessToken": "t"}', kind=JSON)),
    ],
)
async def test_a_cookie_counts_only_where_no_other_place_has_a_token(
    sources: tuple[str, ...], source: str, made: Any, first_wins: bool
) -> None:
    """Browsers send it unasked: wherever it stands in the order, a token that a script sends wins, even over two."""
    every = extractor(*sources, first_wins=first_wins)
    for cookies in ([("Cookie", "session=c")], [("Cookie", "session=c; session=d")]):
        assert await every.extract(made(*cookies)) == ("t", source)


@pytest.mark.parametrize("cookies", [["session=t; session=u"], ["session=t; session=t"], ["session=t", "session="]])
async def test_two_cookies_of_the_name_are_ambiguous(cookies: list[str]) -> None:
    """Equal ones too: one of them may be of another host of the domain."""
    with pytest.raises(AmbiguousTokenError):
        await extractor("cookie", "bearer").extract(request(*(("Cookie", each) for each in cookies)))


@pytest.mark.parametrize("cookies", [[], ["a=b"], ["session="], ["session"], ["session2=t"]])
async def test_an_empty_cookie_is_no_token(cookies: list[str]) -> None:
    """As a browser may send it that has not yet dropped what was cleared."""
    with pytest.raises(MissingTokenError):
        await extractor("cookie").extract(request(*(("Cookie", each) for each in cookies)))
