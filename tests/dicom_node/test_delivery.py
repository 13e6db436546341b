"""Delivery over real associations to archives that take, refuse, warn, abort or are not there."""

import errno
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SegmentationStorage,
)
from pynetdicom import evt

from dicom_node import delivery
from dicom_node.delivery import DeliveryFailed
from dicom_node.send import RemoteNode
from storage.audit import entries
from storage.reception import ReceivedInstance, record_instances
from storage.series import get_series
from storage.spool import Arrival
from storage.states import DeliveryState, SeriesState
from tests.support.dicom_network import data_set_of, running_archive
from tests.support.outbox import SERIES, SOP_CLASSES, START, STUDY, Outbox, filled_outbox


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with filled_outbox(tmp_path) as filled:
        yield filled


def archive_with(outbox: Outbox, answers: dict[str, int | Dataset]):  # type: ignore[no-untyped-def]
    """An archive that answers as told to some SOP Instance UIDs, and Success to the others."""
    return running_archive(
        SOP_CLASSES,
        [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian],
        answer=lambda event: answers.get(str(event.request.AffectedSOPInstanceUID), 0x0000),
    )


def test_objects_arrive_byte_by_byte_over_one_association(outbox: Outbox) -> None:
    with archive_with(outbox, {}) as archive:
        assert outbox.deliver(archive.port)
        assert not outbox.deliver(archive.port)  # nothing is left
    assert archive.received == outbox.uids
    assert archive.bodies == [data_set_of(outbox.root / one.path) for one in outbox.objects]
    assert archive.associations == [SOP_CLASSES]  # one association, no context too many
    assert outbox.row.state == DeliveryState.DELIVERED
    assert get_series(outbox.db, SERIES).state == SeriesState.DONE
    (audited,) = entries(outbox.db, event="delivered")
    assert [one["status"] for one in audited.detail["statuses"]] == ["0x0000", "0x0000"]


def test_copies_in_another_transfer_syntax_lie_with_the_results_and_do_not_stay(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Patients' data are in no folder that others can read, and none is left where the association fails."""
    seen: list[Path] = []

    def refuse(peer: object, own: str, objects: object, files: list[Path]) -> list[dict[str, str]]:
        seen.extend(files)
        assert {file.parent.parent for file in files} == {outbox.root}
        assert {file.parent.stat().st_mode & 0o777 for file in files} == {0o700}
        raise DeliveryFailed("refused", where="peer", retry_helps=True)

    monkeypatch.setattr(delivery, "_store_files", refuse)
    peer = RemoteNode("PACS", "127.0.0.1", 1)
    with pytest.raises(DeliveryFailed, match="refused"):
        delivery.store_objects(peer, "GLIANET", outbox.objects, outbox.root, "implicit-little-endian")
    assert len(seen) == len(outbox.objects)
    assert not any(file.exists() or file.parent.exists() for file in seen)


def test_a_copy_that_cannot_be_written_fails_the_delivery(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(delivery, "transcode", full)
    peer = RemoteNode("PACS", "127.0.0.1", 1)
    with pytest.raises(DeliveryFailed, match="No space left.*look at the disk space"):
        delivery.store_objects(peer, "GLIANET", outbox.objects, outbox.root, "implicit-little-endian")
    assert [one for one in outbox.root.iterdir() if one.is_dir()] == []


def test_a_full_disk_uses_up_no_try(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each try is the first, however often there is no room for the copies; of three that may fail none has."""

    def full(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    with archive_with(outbox, {}) as archive:
        with monkeypatch.context() as patch:
            patch.setattr(delivery, "transcode", full)
            for _ in range(5):
                assert outbox.deliver(archive.port, transfer_syntax="implicit-little-endian")
                assert (outbox.row.state, outbox.row.attempts) == (DeliveryState.PENDING, 0)
                outbox.now += timedelta(seconds=30)
        assert "No space left" in str(outbox.row.last_error)
        assert outbox.deliver(archive.port)
    assert outbox.row.state == DeliveryState.DELIVERED


def test_an_error_that_nobody_foresaw_costs_a_try_and_not_the_router(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the error may be the peer's words, and is in the log alone."""

    def fail(*_: object) -> None:
        raise IndexError("Doe^John")

    with archive_with(outbox, {}) as archive:
        monkeypatch.setattr(delivery, "accepted_contexts", fail)
        assert outbox.deliver(archive.port)
        row = outbox.row
        assert (row.state, row.attempts) == (DeliveryState.PENDING, 1)
        assert row.last_error is not None
        assert "unexpected IndexError while talking to the peer" in row.last_error and "Doe" not in row.last_error
        monkeypatch.undo()
        outbox.now += timedelta(seconds=30)
        assert outbox.deliver(archive.port)
    assert outbox.row.state == DeliveryState.DELIVERED


def test_warning_counts_as_delivered_and_is_recorded(outbox: Outbox) -> None:
    warning = Dataset()
    warning.Status, warning.ErrorComment = 0xB000, "patient name coerced"
    with archive_with(outbox, {outbox.uids[0]: warning}) as archive:
        assert outbox.deliver(archive.port)
    assert outbox.row.state == DeliveryState.DELIVERED
    (audited,) = entries(outbox.db, event="delivered")
    first = audited.detail["statuses"][0]
    assert first["status"] == "0xB000"
    assert first["meaning"] == "Coercion of Data Elements (patient name coerced)"


def test_failure_is_tried_again_with_the_same_uids(outbox: Outbox) -> None:
    answers: dict[str, int | Dataset] = {outbox.uids[1]: 0xA700}
    with archive_with(outbox, answers) as archive:
        assert outbox.deliver(archive.port)
        row = outbox.row
        assert row.state == DeliveryState.PENDING
        assert "status 0xA700, Refused: Out of Resources" in (row.last_error or "")
        assert f"ARCHIVE at 127.0.0.1:{archive.port}" in (row.last_error or "")
        assert not outbox.deliver(archive.port)  # not due yet
        outbox.now += timedelta(seconds=30)
        answers.clear()
        assert outbox.deliver(archive.port)
    assert archive.received == [*outbox.uids, *outbox.uids]
    assert outbox.row.state == DeliveryState.DELIVERED
    assert outbox.row.attempts == 2


def test_archive_that_aborts_half_way(outbox: Outbox) -> None:
    def abort_at_second(event: evt.Event) -> int:
        if str(event.request.AffectedSOPInstanceUID) == outbox.uids[1]:
            event.assoc.abort()
        return 0x0000

    syntaxes = [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
    with running_archive(SOP_CLASSES, syntaxes, answer=abort_at_second) as archive:
        assert outbox.deliver(archive.port)
    assert outbox.row.state == DeliveryState.PENDING
    assert "sr" in (outbox.row.last_error or "")
    assert "no answer: the association ended" in (outbox.row.last_error or "")
    outbox.now += timedelta(seconds=30)
    with archive_with(outbox, {}) as archive:
        assert outbox.deliver(archive.port)
    assert archive.received == outbox.uids


def test_archive_that_is_down_uses_up_the_tries(outbox: Outbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for attempt, delay in ((1, 30), (2, 60)):
        assert outbox.deliver(port)
        assert outbox.row.attempts == attempt
        outbox.now += timedelta(seconds=delay - 1)
        assert not outbox.deliver(port)
        outbox.now += timedelta(seconds=1)
    assert outbox.deliver(port)
    assert outbox.row.state == DeliveryState.FAILED
    assert "Connection refused" in (outbox.row.last_error or "")
    assert get_series(outbox.db, SERIES).state == SeriesState.FAILED
    events = [entry.event for entry in entries(outbox.db)]
    assert (events.count("delivery-postponed"), events.count("delivery-failed")) == (2, 1)


def test_a_refused_context_is_named_and_keeps_nothing_else_from_arriving(outbox: Outbox) -> None:
    with running_archive([SegmentationStorage], [DeflatedExplicitVRLittleEndian]) as archive:
        assert outbox.deliver(archive.port)
    assert archive.received == outbox.uids[:1]
    assert outbox.row.state == DeliveryState.PENDING
    assert "refused: Comprehensive 3D SR Storage in Explicit VR Little Endian" in (
        outbox.row.last_error or ""
    )


def test_wrong_ae_title_is_explained(outbox: Outbox) -> None:
    with archive_with(outbox, {}) as archive:
        assert outbox.deliver(archive.port, ae_title="ELSEWHERE")
    assert "Called AE title not recognised" in (outbox.row.last_error or "")


@pytest.mark.parametrize("status", [0xA900, 0xA9FF, 0x0117])
def test_status_that_retrying_cannot_change_fails_at_once(outbox: Outbox, status: int) -> None:
    """The SEG alone is refused: the report is offered all the same."""
    with archive_with(outbox, {outbox.uids[0]: status}) as archive:
        assert outbox.deliver(archive.port)
    assert archive.received == outbox.uids
    assert outbox.row.state == DeliveryState.FAILED


def test_damaged_object_is_never_sent(outbox: Outbox) -> None:
    file = outbox.root / outbox.objects[1].path
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with archive_with(outbox, {}) as archive:
        assert outbox.deliver(archive.port)
    assert archive.associations == []
    assert outbox.row.state == DeliveryState.FAILED
    assert "SHA-256 differs" in (outbox.row.last_error or "")


def test_series_that_was_reopened_while_it_was_sent(outbox: Outbox) -> None:
    def late_instance(event: evt.Event) -> int:
        late = ReceivedInstance(
            STUDY, SERIES, f"{SERIES}.2", "1.2", "1.2", "folder/2.dcm", "1" * 64, 9, Arrival.NEW, "SCANNER",
            None, START, None,
        )  # fmt: skip
        record_instances(outbox.db, [late], START)
        return 0x0000

    syntaxes = [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
    with running_archive(SOP_CLASSES, syntaxes, answer=late_instance) as archive:
        assert outbox.deliver(archive.port)  # no error: the next revision is delivered in its turn
    assert get_series(outbox.db, SERIES).state == SeriesState.RECEIVING
    assert outbox.row.state == DeliveryState.WITHDRAWN


def test_other_destinations_rows_are_left_alone(outbox: Outbox) -> None:
    assert not outbox.deliver(1, name="other")
    assert outbox.row.attempts == 0
