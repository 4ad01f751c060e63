"""Tests of jwtsession.sessions.tickets: names, origins, and what a store keeps."""

import hashlib

import pytest

from jwtsession import InvalidArgumentError, InvalidTokenError, SessionCorruptError
from jwtsession.sessions import PlaintextSealer, Tickets, new_ticket, origin_name, ticket_name
from jwtsession.testing import Clock, InspectableStore


def test_a_ticket_is_random_and_its_name_does_not_tell_it() -> None:
    """256 bits, and the name is their SHA-256."""
    tickets = {new_ticket() for _ in range(100)}
    assert len(tickets) == 100
    for ticket in tickets:
        assert ticket_name(ticket) == hashlib.sha256(ticket.encode()).hexdigest()


@pytest.mark.parametrize(
    "ticket", ["", "x" * 42, "x" * 44, "x" * 42 + "=", "é" * 43, "x" * 42 + "\n", None, 7, b"x" * 43]
)
def test_what_has_not_the_form_of_a_ticket_is_refused(ticket: object) -> None:
    """Before anybody asks the store."""
    with pytest.raises(InvalidTokenError) as refused:
        ticket_name(ticket)
    assert refused.value.code == "ticket_malformed"


def test_an_origin_has_a_name_of_fixed_length() -> None:
    """However long it is; two headers are another origin than one; and none is none."""
    one = origin_name([(b"host", b"a"), (b"origin", b" https://a.example ")])
    assert one == origin_name([(b"origin", b"https://a.example")])
    assert one is not None
    long = origin_name([(b"origin", b"https://" + b"a" * 10_000)])
    two = origin_name([(b"origin", b"https://a.example"), (b"origin", b"https://a.example")])
    assert len({one, long, two}) == 3
    assert origin_name([(b"host", b"a")]) is None


class Reversed(PlaintextSealer):
    """Seals so that one can see it, and opens only what it sealed for the same name."""

    def seal(self, session_id: str, value: bytes) -> bytes:
        return session_id.encode() + value[::-1]

    def open(self, session_id: str, stored: bytes) -> bytes:
        if not stored.startswith(session_id.encode()):
            raise SessionCorruptError
        return stored.removeprefix(session_id.encode())[::-1]


async def test_a_record_is_sealed_and_taken_once(clock: Clock) -> None:
    """The sealer of the sessions seals it, under the name of its own key in the store."""
    store = InspectableStore(clock)
    tickets = Tickets(store, Reversed())
    await tickets.add("name", b"123", 1000)
    assert await store.ticket_take("name") == b"ticket:name321"
    await tickets.add("name", b"123", 1000)
    assert await tickets.take("name") == b"123"
    with pytest.raises(InvalidTokenError) as refused:
        await tickets.take("name")
    assert refused.value.code == "ticket_unknown"
    await store.ticket_add("name", b"ticket:other321", 1000)
    with pytest.raises(SessionCorruptError):
        await tickets.take("name")


async def test_a_store_may_know_no_tickets() -> None:
    """Then nobody gets one, and nobody has one."""

    class Bare:
        ticket_add = None

    tickets = Tickets(Bare(), PlaintextSealer())  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="Bare does not have the methods of TicketStore"):
        await tickets.add("name", b"1", 1)
    with pytest.raises(InvalidTokenError):
        await tickets.take("name")
