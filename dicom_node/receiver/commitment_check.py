"""What this node can commit itself to: instances that lie here, whole, as they came."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from pynetdicom.dsutils import split_dataset

from dicom_node.commitment_messages import NO_SUCH_INSTANCE, PROCESSING_FAILURE, Failure, Reference
from dicom_node.receiver.contexts import STORAGE_SOP_CLASSES
from storage.database import Database
from storage.rows import InstanceRow
from storage.series import kept_instances
from storage.spool import Spool

# Failure Reason, PS3.3 C.14.1.1; two others are the statuses of PS3.7 annex C
CLASS_CONFLICT = 0x0119
CLASS_NOT_SUPPORTED = 0x0122
DUPLICATE_TRANSACTION = 0x0131

UIDS_PER_QUERY = 500


@dataclass(frozen=True)
class Verdict:
    """What is committed to, what is not and why, and the series (rows' ids) that it is of."""

    committed: tuple[Reference, ...]
    failed: tuple[Failure, ...]
    series_ids: frozenset[int] = frozenset()


def judge_instances(db: Database, spool: Spool, references: Sequence[Reference]) -> Verdict:
    """Look each instance up and read its file: only bytes that have the digest they came with are committed to.

    Not available (0x0112): never received, deleted since, or its file is gone. Of another SOP class than it is
    said to be (0x0119), or of one that this node does not take (0x0122). Other bytes came under the same UID, it
    stands in two series, or the file is damaged or cannot be read (0x0110).
    """
    rows = _rows(db, sorted({uid for _, uid in references}))
    committed: list[Reference] = []
    failed: list[Failure] = []
    for reference in references:
        reason = _why_not(spool, reference, rows.get(reference[1], []))
        if reason is None:
            committed.append(reference)
        else:
            failed.append(Failure(reference, reason))
    series_ids = {row.series_id for found in rows.values() for row in found}
    return Verdict(tuple(committed), tuple(failed), frozenset(series_ids))


def refuse_all(references: Iterable[Reference]) -> Verdict:
    """The transaction UID was another request's: nothing is committed to under it."""
    return Verdict((), tuple(Failure(one, DUPLICATE_TRANSACTION) for one in references))


def _rows(db: Database, uids: Sequence[str]) -> dict[str, list[InstanceRow]]:
    rows: dict[str, list[InstanceRow]] = {}
    for start in range(0, len(uids), UIDS_PER_QUERY):
        for row in kept_instances(db, uids[start : start + UIDS_PER_QUERY]):
            rows.setdefault(row.sop_instance_uid, []).append(row)
    return rows


def _why_not(spool: Spool, reference: Reference, rows: Sequence[InstanceRow]) -> int | None:
    sop_class_uid, _ = reference
    if not rows:
        return NO_SUCH_INSTANCE if sop_class_uid in STORAGE_SOP_CLASSES else CLASS_NOT_SUPPORTED
    if any(row.sop_class_uid != sop_class_uid for row in rows):
        return CLASS_CONFLICT
    if len(rows) > 1 or rows[0].conflict:
        return PROCESSING_FAILURE
    return _what_is_wrong(spool.absolute(rows[0].path), rows[0])


def _what_is_wrong(file: Path, row: InstanceRow) -> int | None:
    """The digest in the row is that of the data set, which follows the file meta information."""
    try:
        if file.stat().st_size != row.size:
            return PROCESSING_FAILURE
        _, offset = split_dataset(file)
        with file.open("rb") as opened:
            opened.seek(offset)
            digest = file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return NO_SUCH_INSTANCE
    except Exception:  # noqa: BLE001 - what a damaged head makes a decoder raise has no common base
        return PROCESSING_FAILURE
    return None if digest == row.sha256 else PROCESSING_FAILURE
