"""An outbox with results that wait for one destination, as the stages before delivery leave it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from pydicom.uid import (
    Comprehensive3DSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SegmentationStorage,
)

from dicom_node.delivery import deliver_next
from dicom_node.destination_settings import DestinationSettings
from dicom_node.settings import Settings
from storage.database import Database, open_database
from storage.jobs import ResultObject, accept, claim_series, conclude_analysis, publish
from storage.outbox import DeliveryRow, deliveries
from storage.reception import ReceivedInstance, record_instances
from storage.series import complete_series, get_series
from storage.spool import Arrival
from storage.states import SeriesState
from tests.support.dicom_network import STUDY, make_ct, make_settings, write_ct

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


@contextmanager
def filled_outbox(folder: Path) -> Iterator[Outbox]:
    """An outbox in `folder`; the database is closed at the end."""
    db = open_database(folder / "node.sqlite3")
    root = folder / "results"
    objects = [
        write_result(root, "seg", SegmentationStorage, DeflatedExplicitVRLittleEndian),
        write_result(root, "sr", Comprehensive3DSRStorage, ExplicitVRLittleEndian),
    ]
    publish_results(db, objects)
    settings = make_settings(folder, delivery={"first_delay_s": 30.0, "maximum_attempts": 3})
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
