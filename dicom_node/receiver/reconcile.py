"""Reconciliation: files that lie in the spool without a row, after a crash, get their row."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import structlog
from pynetdicom.dsutils import split_dataset

from dicom_node.clock import Clock
from dicom_node.frames import DAMAGED
from dicom_node.instance_identity import UnreadableDataSet, identify_instance
from storage.database import Database
from storage.reception import ReceivedInstance, record_instances, unregistered
from storage.spool import Arrival, Spool, is_conflict_path

BATCH = 200  # rows in one transaction

log = structlog.get_logger(__name__)


def reconcile(db: Database, spool: Spool, announced_count_tags: Sequence[int], clock: Clock) -> int:
    """Register every spooled file that has no row; how many there were.

    What the sender's address was is not known any more; its AE title stands in the file.
    """
    paths = unregistered(db, list(spool.files()))
    for start in range(0, len(paths), BATCH):
        found = list(_read_all(spool, paths[start : start + BATCH], announced_count_tags))
        record_instances(db, found, clock())
    if paths:
        log.warning("spooled files without a row were registered", files=len(paths))
    return len(paths)


def _read_all(spool: Spool, paths: Sequence[str], tags: Sequence[int]) -> Iterator[ReceivedInstance]:
    for path in paths:
        try:
            yield read_spooled(spool.absolute(path), path, tags)
        except (UnreadableDataSet, OSError, *DAMAGED) as error:
            what = error.what if isinstance(error, UnreadableDataSet) else type(error).__name__
            log.error("spooled file cannot be read; it is left where it is", path=path, error=what)


def read_spooled(file: Path, path: str, tags: Sequence[int]) -> ReceivedInstance:
    """What a file of the spool tells of itself. Raises UnreadableDataSet, OSError, or one of DAMAGED."""
    meta, offset = split_dataset(file)
    data_set = file.read_bytes()[offset:]
    identity = identify_instance(data_set, meta.TransferSyntaxUID, tags)
    return ReceivedInstance(
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=identity.sop_class_uid,
        transfer_syntax_uid=str(meta.TransferSyntaxUID),
        path=path,
        sha256=sha256(data_set).hexdigest(),
        size=offset + len(data_set),
        arrival=Arrival.CONFLICT if is_conflict_path(path) else Arrival.NEW,
        calling_ae_title=str(meta.get("SourceApplicationEntityTitle", "")).strip(),
        address=None,
        received_at=datetime.fromtimestamp(file.stat().st_mtime, UTC),
        announced_instances=identity.announced_instances,
    )
