"""Reconciliation: what a crash left between file and row."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmwrite

from dicom_node.receiver.part10 import encode_head
from dicom_node.receiver.reconcile import reconcile
from storage.database import open_database
from storage.series import get_series, instance_paths
from storage.spool import Arrival, Spool
from tests.support.dicom_network import STUDY, encode, make_ct, running_node, write_ct

SERIES = f"{STUDY}.1"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def spool_without_row(spool: Spool, dataset: Dataset, sender: str = "SCANNER") -> Arrival:
    head = encode_head(
        dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID, sender
    )
    return spool.store(dataset.SeriesInstanceUID, dataset.SOPInstanceUID, head, encode(dataset)).arrival


def test_files_without_a_row_are_registered_at_the_start(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        node.send(write_ct(tmp_path, make_ct(1)))
        node.wait_until_written()
        spool_folder = node.spool
    spool = Spool(spool_folder)
    assert spool_without_row(spool, make_ct(2)) == Arrival.NEW
    assert spool_without_row(spool, make_ct(1, value=9)) == Arrival.CONFLICT
    leftover = spool_folder / "half-written.dcm.0123456789abcdef.tmp"
    leftover.write_bytes(b"half")
    with running_node(tmp_path) as node:
        row = get_series(node.db, SERIES)
        rows = instance_paths(node.db, row.id)
        assert not leftover.exists()
    assert row.instance_count == 2
    assert row.conflicting
    assert [one.sop_instance_uid for one in rows] == [f"{SERIES}.1", f"{SERIES}.1", f"{SERIES}.2"]
    assert rows[2].calling_ae_title == "SCANNER"
    assert rows[2].address is None
    assert {one.path for one in rows} == set(spool.files())


def test_registered_row_equals_the_one_that_reception_writes(tmp_path: Path) -> None:
    dataset = make_ct(1)
    dataset.NumberOfSeriesRelatedInstances = 5
    file = write_ct(tmp_path, dataset)
    with running_node(tmp_path / "received") as node:
        node.send(file)
        node.wait_until_written()
        (by_reception,) = instance_paths(node.db, get_series(node.db, SERIES).id)
    spool = Spool(tmp_path / "received" / "node" / "spool")
    db = open_database(tmp_path / "fresh.sqlite3")
    assert reconcile(db, spool, (0x00201209,), lambda: NOW) == 1
    assert reconcile(db, spool, (0x00201209,), lambda: NOW) == 0
    series = get_series(db, SERIES)
    (by_reconciliation,) = instance_paths(db, series.id)
    db.close()
    assert series.announced_instances == 5
    for name in ("path", "sha256", "size", "sop_class_uid", "transfer_syntax_uid", "calling_ae_title"):
        assert getattr(by_reconciliation, name) == getattr(by_reception, name), name


def test_unreadable_file_is_left_alone_and_holds_up_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    head = BytesIO()
    dcmwrite(head, make_ct(1), enforce_file_format=True)
    spool.store("1.2.3", "1.2.3.4", head.getvalue()[:300], b"\0" * 50)
    spool.store("1.2.3", "1.2.3.5", b"", b"no DICOM at all")
    spool_without_row(spool, make_ct(2))
    db = open_database(tmp_path / "node.sqlite3")
    reconcile(db, spool, (), lambda: NOW)
    assert get_series(db, SERIES).instance_count == 1
    db.close()
    assert len(list(spool.files())) == 3
