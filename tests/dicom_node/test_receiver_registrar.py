"""The registrar: order, batches, a database that does not answer, and its end."""

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dicom_node.receiver import registrar as module
from dicom_node.receiver.registrar import AuditNote, Registrar, RegistrarBehind
from storage.audit import entries
from storage.database import Database, open_database
from storage.errors import StorageError
from storage.reception import ReceivedInstance
from storage.series import get_series
from storage.spool import Arrival

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEADLINE_S = 20.0


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "node.sqlite3")
    yield opened
    opened.close()


def received(number: int) -> ReceivedInstance:
    return ReceivedInstance(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        sop_instance_uid=f"1.2.3.4.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"folder/{number}.dcm",
        sha256="0" * 64,
        size=100,
        arrival=Arrival.NEW,
        calling_ae_title="SCANNER",
        address="192.0.2.1",
        received_at=NOW,
        announced_instances=None,
    )


def register(registrar: Registrar, *numbers: int) -> None:
    for number in numbers:
        with registrar.place() as place:
            place.register(received(number))


def note(number: int) -> AuditNote:
    return AuditNote("instance-refused", "SCANNER", {"number": number})


def test_entries_are_written_in_one_batch_after_the_association(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    record = module.record_instances

    def counting(db: Database, instances: Sequence[ReceivedInstance], now: datetime) -> None:
        batches.append(len(instances))
        record(db, instances, now)

    monkeypatch.setattr(module, "record_instances", counting)
    monkeypatch.setattr(module, "LINGER_S", DEADLINE_S)
    registrar = Registrar(db, lambda: NOW)
    register(registrar, *range(1, 51))
    registrar.note(note(1))
    assert registrar.wait_until_written(DEADLINE_S / 2)
    registrar.close()
    assert batches == [50]
    assert get_series(db, "1.2.3.4").instance_count == 50
    assert [entry.detail for entry in entries(db, event="instance-refused")] == [{"number": 1}]


def test_a_lingering_entry_is_written_without_being_asked_for(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = threading.Event()
    monkeypatch.setattr(module, "LINGER_S", 0.01)
    monkeypatch.setattr(module, "record_instances", lambda *_: written.set())
    registrar = Registrar(db, lambda: NOW)
    register(registrar, 1)
    assert written.wait(DEADLINE_S)
    registrar.close()


def test_place_that_is_not_used_is_given_back(db: Database) -> None:
    registrar = Registrar(db, lambda: NOW, places=1, patience_s=0.01)
    with pytest.raises(ZeroDivisionError), registrar.place():
        raise ZeroDivisionError
    register(registrar, 1)
    registrar.close()
    assert get_series(db, "1.2.3.4").instance_count == 1


def test_no_place_while_the_database_is_locked(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    registrar = Registrar(db, lambda: NOW, places=3, patience_s=0.01)
    with db.transaction():
        register(registrar, 1, 2)
        registrar.note(note(1))
        with pytest.raises(RegistrarBehind), registrar.place():
            pytest.fail("a place was given")
        registrar.note(note(2))  # goes to the log: the memory is bounded
    assert registrar.wait_until_written(DEADLINE_S)
    register(registrar, 3)
    registrar.close()
    assert get_series(db, "1.2.3.4").instance_count == 3
    assert [entry.detail for entry in entries(db, event="instance-refused")] == [{"number": 1}]


def test_what_waited_is_written_although_more_comes_all_the_time(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every entry that is written the next one comes: there is no moment at which nothing waits."""
    append, traffic = module.append, threading.Event()
    registrar = Registrar(db, lambda: NOW)

    def write_and_go_on(*arguments: Any, **named: Any) -> None:
        append(*arguments, **named)
        if not traffic.is_set():
            registrar.note(note(2))

    monkeypatch.setattr(module, "append", write_and_go_on)
    registrar.note(note(1))
    assert registrar.wait_until_written(DEADLINE_S)
    assert {"number": 1} in [entry.detail for entry in entries(db, event="instance-refused")]
    traffic.set()
    registrar.close()


def test_failed_write_is_tried_again(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    record, failures = module.record_instances, [StorageError("locked", where="test")] * 2

    def failing_twice(db: Database, instances: Sequence[ReceivedInstance], now: datetime) -> None:
        if failures:
            raise failures.pop()
        record(db, instances, now)

    monkeypatch.setattr(module, "record_instances", failing_twice)
    monkeypatch.setattr(module, "FIRST_RETRY_S", 0.001)
    registrar = Registrar(db, lambda: NOW)
    register(registrar, 1)
    assert registrar.wait_until_written(DEADLINE_S)
    registrar.close()
    assert failures == []
    assert get_series(db, "1.2.3.4").instance_count == 1


def test_closing_ends_although_the_database_fails(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise StorageError("locked", where="test")

    monkeypatch.setattr(module, "record_instances", failing)
    registrar = Registrar(db, lambda: NOW)
    register(registrar, 1)
    registrar.close(DEADLINE_S)
    assert not registrar.alive
    assert not registrar.wait_until_written(0.01)


def test_unknown_error_ends_the_thread(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    died = threading.Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: died.set())
    monkeypatch.setattr(module, "record_instances", lambda *_: 1 / 0)
    registrar = Registrar(db, lambda: NOW)
    register(registrar, 1)
    registrar.flush()
    assert died.wait(DEADLINE_S)
    registrar.close()
    assert not registrar.alive
