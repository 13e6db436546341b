"""Delivery over real associations to archives that take, refuse, warn, abort or are not there."""

import errno
import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SegmentationStorage,
)
from pynetdicom import evt

from dicom_node import delivery
from dicom_node.delivery import DeliveryFailed, deliver_next, retry_delay
from dicom_node.destination_settings import DestinationSettings
from dicom_node.send import RemoteNode
from dicom_node.settings import Settings
from storage.audit import entries
from storage.database import Database, open_database
from storage.jobs import ResultObject, accept, claim_series, conclude_analysis, publish
from storage.outbox import DeliveryRow, deliveries
from storage.reception import ReceivedInstance, record_instances
from storage.series import complete_series, get_series
from storage.spool import Arrival
from storage.states import DeliveryState, SeriesState
from tests.support.dicom_network import (
    STUDY,
    data_set_of,
    make_ct,
    make_settings,
    running_archive,
    write_ct,
)

SERIES = f"{STUDY}.1"
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LEASE = timedelta(minutes=5)
SOP_CLASSES = [SegmentationStorage, Comprehensive3DSRStorage]


@dataclass
class Outbox:
    """A database with one series whose two results wait for destination `pacs`."""

    db: Database
    root: Path
    settings: Settings
    objects: list[ResultObject]
    now: datetime = START

    def deliver(self, port: int, **changes: object) -> bool:
        destination = DestinationSettings(name="pacs", ae_title="ARCHIVE", host="127.0.0.1", port=port)
        destination = destination.model_copy(update=changes)
        return deliver_next(self.db, destination, self.settings, self.root, "router:1:pacs", lambda: self.now)

    @property
    def row(self) -> DeliveryRow:
        (row,) = deliveries(self.db, get_series(self.db, SERIES).id)
        return row

    @property
    def uids(self) -> list[str]:
        return [one.sop_instance_uid for one in self.objects]


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    db = open_database(tmp_path / "node.sqlite3")
    root = tmp_path / "results"
    objects = [
        write_result(root, "seg", SegmentationStorage, DeflatedExplicitVRLittleEndian),
        write_result(root, "sr", Comprehensive3DSRStorage, ExplicitVRLittleEndian),
    ]
    publish_results(db, objects)
    settings = make_settings(tmp_path, delivery={"first_delay_s": 30.0, "maximum_attempts": 3})
    yield Outbox(db, root, settings, objects)
    db.close()


def write_result(root: Path, role: str, sop_class: str, transfer_syntax: str) -> ResultObject:
    dataset = make_ct(series=f"{STUDY}.{len(role)}", sop_class=sop_class)
    dataset.file_meta.TransferSyntaxUID = transfer_syntax
    file = write_ct(root, dataset)
    data = file.read_bytes()
    return ResultObject(
        role=role,
        sop_class_uid=sop_class,
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        path=file.name,
        sha256=sha256(data).hexdigest(),
        size=len(data),
    )


def publish_results(db: Database, objects: list[ResultObject]) -> None:
    received = ReceivedInstance(
        study_instance_uid=STUDY,
        series_instance_uid=SERIES,
        sop_instance_uid=f"{SERIES}.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        path="folder/1.dcm",
        sha256="0" * 64,
        size=100,
        arrival=Arrival.NEW,
        calling_ae_title="SCANNER",
        address="192.0.2.1",
        received_at=START,
        announced_instances=1,
    )
    record_instances(db, [received], START)
    complete_series(db, START, timedelta(seconds=30))
    claim = claim_series(db, SeriesState.COMPLETE, "router:1", START, LEASE)
    assert claim is not None
    accept(db, claim, False, {}, START)
    claim = claim_series(db, SeriesState.QUEUED, "worker:1", START, LEASE)
    assert claim is not None
    conclude_analysis(db, claim, "findings", "0" * 64, 1, {}, START)
    claim = claim_series(db, SeriesState.ANALYSED, "router:1", START, LEASE)
    assert claim is not None
    publish(db, claim, objects, {"pacs": [one.role for one in objects]}, START)


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


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (10_000, 3600)]
)
def test_delay_doubles_up_to_the_longest(attempts: int, seconds: float) -> None:
    assert retry_delay(attempts, 30.0, 3600.0) == timedelta(seconds=seconds)


def test_delay_with_a_generator_lies_between_half_and_all() -> None:
    drawn = {retry_delay(2, 30.0, 3600.0, random.Random(seed)) for seed in range(50)}
    assert len(drawn) == 50
    assert all(timedelta(seconds=30) <= delay <= timedelta(seconds=60) for delay in drawn)
