"""What two contents of one image differ in, as far as it matters to who reads the report."""

from collections.abc import Iterator, Sequence
from typing import Any

from pydicom import Dataset
from pydicom.tag import Tag

from dicom_node.dicom_file import read_file
from dicom_node.frames import DAMAGED
from dicom_node.reasons import NotAnalysable, Reason
from storage.series import InstanceRow
from storage.spool import Spool

# Of the Patient Identification and Demographic modules (PS3.3 C.2.2, C.2.3) what tells one patient from another.
PATIENT_ATTRIBUTES = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
PAIRS_READ = 20  # a correction changes every image of a series


def explain_conflict(rows: Sequence[InstanceRow], spool: Spool) -> NotAnalysable:
    """The refusal of a series in which an image came twice with different content.

    Other patient data is a correction, or a mix-up of patients; the detail names attributes and never their values.
    """
    conflicts = [row for row in rows if row.conflict]
    changed = {keyword for first, again in _pairs(rows, conflicts, spool) for keyword in _changed(first, again)}
    images = len({row.sop_instance_uid for row in conflicts})
    times = "an image" if images == 1 else f"{images} images"
    if changed:
        named = ", ".join(keyword for keyword in PATIENT_ATTRIBUTES if keyword in changed)
        return NotAnalysable(Reason.CHANGED_PATIENT, f"{times} came again with another {named}")
    return NotAnalysable(Reason.CONFLICTING_INSTANCES, f"{times} came twice with different content")


def _pairs(
    rows: Sequence[InstanceRow], conflicts: Sequence[InstanceRow], spool: Spool
) -> Iterator[tuple[Dataset, Dataset]]:
    """The header that came first and one that came later; not of images that cannot be read."""
    first = {row.sop_instance_uid: row for row in rows if not row.conflict}
    for again in conflicts[:PAIRS_READ]:
        try:
            yield _header(first[again.sop_instance_uid], spool), _header(again, spool)
        except (NotAnalysable, KeyError):
            continue


def _header(row: InstanceRow, spool: Spool) -> Dataset:
    return read_file(spool.absolute(row.path), with_pixels=False)


def _changed(first: Dataset, again: Dataset) -> Iterator[str]:
    yield from (keyword for keyword in PATIENT_ATTRIBUTES if _said(first, keyword) != _said(again, keyword))


def _said(header: Dataset, keyword: str) -> str | tuple[str | None, bytes | None]:
    """What cannot be read is the same only where its bytes are: it may name another patient."""
    try:
        return str(header.get(keyword, ""))
    except DAMAGED:
        item: Any = header.get_item(Tag(keyword))
        return item.VR, item.value
