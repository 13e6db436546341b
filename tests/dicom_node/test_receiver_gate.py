"""The gate: how often an address may be rejected, who is shut out, and the one row that tells of it."""

from datetime import UTC, datetime

import pytest

from dicom_node.receiver import gate as gate_module
from dicom_node.receiver.gate import FREE_REJECTIONS, REMEMBERED_ADDRESSES, SHUT_S, WINDOW_S, Gate
from dicom_node.receiver.registrar import AuditNote

NOW = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
STRANGER, SENDER = "192.0.2.66", "192.0.2.1"


class Seconds:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def notes() -> list[AuditNote]:
    return []


@pytest.fixture
def gate(seconds: Seconds, notes: list[AuditNote]) -> Gate:
    return Gate(notes.append, lambda: NOW, seconds)


def test_rejections_have_rows_of_their_own_until_the_address_is_shut_out(gate: Gate) -> None:
    for _ in range(FREE_REJECTIONS):
        assert gate.lets_in(STRANGER)
        assert gate.rejected(STRANGER)
    assert not gate.lets_in(STRANGER)
    assert gate.lets_in(SENDER)


def test_one_row_tells_of_all_that_was_not_heard(gate: Gate, seconds: Seconds, notes: list[AuditNote]) -> None:
    for _ in range(FREE_REJECTIONS):
        gate.rejected(STRANGER)
    assert [gate.lets_in(STRANGER) for _ in range(1000)] == [False] * 1000
    assert not gate.rejected(STRANGER)  # one that was under way
    gate.look_around()
    assert notes == []
    seconds.now += SHUT_S
    gate.look_around()
    gate.look_around()
    (note,) = notes
    assert note.event == "address-shut-out"
    assert note.detail == {
        "address": STRANGER,
        "since": NOW.isoformat(),
        "connections_refused": 1000,
        "rejections_without_a_row": 1,
    }
    assert gate.lets_in(STRANGER)


def test_a_few_rejections_a_minute_shut_nobody_out(gate: Gate, seconds: Seconds) -> None:
    for _ in range(10):
        for _ in range(FREE_REJECTIONS - 1):
            assert gate.rejected(STRANGER)
            assert gate.lets_in(STRANGER)
        seconds.now += WINDOW_S


def test_an_address_that_sends_is_never_shut_out_and_its_rows_do_not_flood(
    gate: Gate, seconds: Seconds, notes: list[AuditNote]
) -> None:
    gate.accepted(SENDER)
    written = [gate.rejected(SENDER) for _ in range(500)]
    assert written == [True] * FREE_REJECTIONS + [False] * (500 - FREE_REJECTIONS)
    assert gate.lets_in(SENDER)
    seconds.now += SHUT_S
    gate.look_around()
    assert [note.detail["rejections_without_a_row"] for note in notes] == [480]


def test_who_is_rejected_for_the_moment_is_heard_and_has_some_rows_a_minute(gate: Gate, seconds: Seconds) -> None:
    assert [gate.deferred(SENDER) for _ in range(100)] == [True] * FREE_REJECTIONS + [False] * (100 - FREE_REJECTIONS)
    assert gate.lets_in(SENDER)
    seconds.now += WINDOW_S
    assert gate.deferred(SENDER)


def test_an_end_writes_what_is_open(gate: Gate, notes: list[AuditNote]) -> None:
    for _ in range(FREE_REJECTIONS):
        gate.rejected(STRANGER)
    gate.look_around(closing=True)
    assert [note.detail["address"] for note in notes] == [STRANGER]


def test_memory_is_bounded_and_known_senders_stay(
    gate: Gate, notes: list[AuditNote], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.accepted(SENDER)
    for _ in range(FREE_REJECTIONS):
        gate.rejected(STRANGER)
    for number in range(2 * REMEMBERED_ADDRESSES):
        gate.rejected(f"10.0.{number // 250}.{number % 250}")
    assert len(gate._visitors) == REMEMBERED_ADDRESSES
    gate.look_around()
    assert [note.detail["address"] for note in notes] == [STRANGER]  # forgotten, but not without its row
    for _ in range(FREE_REJECTIONS + 1):
        gate.rejected(SENDER)
    assert gate.lets_in(SENDER)


def test_ipv6_addresses_of_one_network_are_one_visitor(gate: Gate) -> None:
    for number in range(FREE_REJECTIONS):
        gate.rejected(f"2001:db8::{number:x}")
    assert not gate.lets_in("2001:db8::ffff")
    assert gate.lets_in("2001:db8:0:1::1")
    assert gate.lets_in("::1")


def test_ipv4_over_an_ipv6_socket_is_the_same_address(gate: Gate) -> None:
    for _ in range(FREE_REJECTIONS):
        gate.rejected(f"::ffff:{STRANGER}")
    assert not gate.lets_in(STRANGER)


def test_limits_leave_room_for_a_sender_in_error() -> None:
    """A router that tries every three seconds is in error, and is no attack."""
    assert gate_module.FREE_REJECTIONS >= gate_module.WINDOW_S / 3


def test_only_looking_around_waits_for_the_database(seconds: Seconds) -> None:
    """What the accept loop calls never does, even where a row is due."""

    def unreachable(_note: AuditNote) -> None:
        raise AssertionError("a row was written")

    gate = Gate(unreachable, lambda: NOW, seconds)
    for _ in range(FREE_REJECTIONS):
        gate.rejected(STRANGER)
    seconds.now += SHUT_S
    assert gate.lets_in(STRANGER)
    assert gate.rejected(STRANGER)
    gate.accepted(STRANGER)
    with pytest.raises(AssertionError, match="a row was written"):
        gate.look_around()
