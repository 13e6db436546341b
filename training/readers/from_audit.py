"""Readings drawn from the node's audit log and the SEGs that readers corrected. A draft, for a person to complete.

What can be known: a delivered result of the series, who saved a corrected SEG of it, and what that marks. What cannot:
the time of reading (from delivery to the corrected SEG everything else happens too), so that `seconds` is left empty;
the reader's level, left empty too; and readings without assist, which leave no trace in the node. `read_readings`
refuses the draft until the levels are filled in.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.readers.readings import Reading, ReadingsError
from training.readers.segmentation_findings import findings_of_segmentation

if TYPE_CHECKING:
    from pydicom import Dataset

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
"""SOP class (PS3.4 B.5)."""


def readings_from_audit(audit: Path, corrected: Sequence[Path], cases: Mapping[str, str]) -> tuple[Reading, ...]:
    """One reading, with assist, for each corrected SEG, in the order given.

    audit: JSON lines that `dicom-node audit export FILE.jsonl` wrote; every hash in them is checked. corrected: DICOM
    SEG files; the reader is their ContentCreatorName, the institution their InstitutionName. cases: the case of each
    SeriesInstanceUID. Raises ReadingsError with every file that cannot be used, and why.
    """
    import pydicom

    delivered = _delivered(audit)
    readings, problems = list[Reading](), list[str]()
    for path in corrected:
        try:
            readings.append(_reading(pydicom.dcmread(path), delivered, cases))
        except (OSError, ValueError, AttributeError, pydicom.errors.InvalidDicomError) as problem:
            problems.append(f"{path}: {problem}")
    seen = set[tuple[str, str]]()
    for path, reading in zip(corrected, readings, strict=False):
        if not problems and (reading.reader, reading.case) in seen:
            problems.append(f"{path}: {reading.reader} has corrected {reading.case} twice; give the last SEG alone")
        seen.add((reading.reader, reading.case))
    if problems:
        raise ReadingsError(audit, problems)
    return tuple(readings)


def _delivered(audit: Path) -> dict[str, set[str]]:
    """SOP instance UIDs of what was delivered, by the series that it is a result of."""
    delivered: dict[str, set[str]] = {}
    last: dict[str, Any] | None = None
    try:
        for number, line in enumerate(audit.read_text(encoding="utf-8").splitlines(), start=1):
            row = json.loads(line)
            _check_row(row, last, audit, number)
            if row["event"] == "delivered":
                delivered.setdefault(row["series_instance_uid"], set()).update(row["detail"]["objects"])
            last = row
    except (OSError, ValueError, KeyError, TypeError) as problem:
        advice = "export the log again with `dicom-node audit export`"
        raise ReadingsError(audit, [f"it cannot be read as an audit log ({problem}); {advice}"]) from problem
    return delivered


def _check_row(row: dict[str, Any], last: dict[str, Any] | None, audit: Path, number: int) -> None:
    """Each hash is the SHA-256 of the row without it, and names the row before it (storage of the node)."""
    content = {name: value for name, value in row.items() if name != "hash"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    whole = hashlib.sha256(text.encode()).hexdigest() == row["hash"]
    if not whole or (last is not None and row["previous_hash"] != last["hash"]):
        raise ReadingsError(audit, [f"line {number}: it was changed, or lines before it are missing; export it again"])


def _reading(seg: "Dataset", delivered: Mapping[str, set[str]], cases: Mapping[str, str]) -> Reading:
    if seg.SOPClassUID != SEGMENTATION_STORAGE:
        raise ValueError("it is no DICOM SEG")
    references = seg.get("ReferencedSeriesSequence") or []
    if len(references) != 1:
        raise ValueError(f"it refers to {len(references)} series, not one")
    series = str(references[0].SeriesInstanceUID)
    if series not in cases:
        raise ValueError(f"no case is named for series {series}")
    if series not in delivered:
        raise ValueError(f"no result of series {series} was delivered, by this log")
    if seg.SOPInstanceUID in delivered[series]:
        raise ValueError("it is the node's own result, not a corrected one")
    reader = str(seg.get("ContentCreatorName") or "").strip()
    if not reader:
        raise ValueError("it does not say who made it (ContentCreatorName)")
    institution = str(seg.get("InstitutionName") or "")
    return Reading(reader, "", institution, cases[series], True, None, findings_of_segmentation(seg))
