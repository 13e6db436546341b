"""Readings drawn from a log that the node's own code wrote, and from SEGs that highdicom wrote."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from storage.audit import GENESIS_HASH, AuditEntry, hash_row
from storage.audit_export import write_json_lines
from storage.schema import time_text
from training.readers.from_audit import readings_from_audit
from training.readers.readings import ReadingsError, read_readings, write_readings
from training.readers.segmentation_findings import findings_of_segmentation

STUDY, FRAME, SERIES, OWN = "1.2.3", "1.2.3.9", "1.2.3.1", "1.2.3.7"
SLICES, ROWS, COLUMNS, STEP_MM, PIXEL_MM = 12, 20, 24, 2.0, 0.5


def _log(path: Path, events: Sequence[tuple[str, str]]) -> Path:
    previous, entries = GENESIS_HASH, []
    for number, (event, series) in enumerate(events, start=1):
        at = datetime(2026, 1, 1, 12, number, tzinfo=UTC)
        row = {
            "number": number, "at": time_text(at), "event": event, "series_instance_uid": series, "actor": "node",
            "detail": {"objects": [OWN], "destination": "pacs"}, "previous_hash": previous,
        }  # fmt: skip
        entries.append(AuditEntry(**{**row, "at": at}, hash=hash_row(row)))  # type: ignore[arg-type]
        previous = entries[-1].hash
    with path.open("w", encoding="utf-8") as file:
        write_json_lines(entries, file)
    return path


def _source(number: int) -> pydicom.Dataset:
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"{SERIES}.{number + 1}"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = STUDY, SERIES, FRAME
    image.Modality, image.Rows, image.Columns, image.SamplesPerPixel = "CT", ROWS, COLUMNS, 1
    image.PatientID = image.PatientName = image.PatientBirthDate = image.PatientSex = ""
    image.StudyDate = image.StudyTime = image.AccessionNumber = image.StudyID = image.ReferringPhysicianName = ""
    image.PixelSpacing, image.SliceThickness = [PIXEL_MM, PIXEL_MM], STEP_MM
    image.ImageOrientationPatient, image.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-6.0, -5.0, 40 + STEP_MM * number]
    return image


def _seg(mask: np.ndarray, uid: str = "1.2.3.8", reader: str = "Reader^One") -> hd.seg.Segmentation:
    segment = hd.seg.SegmentDescription(
        1, "a", codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Aneurysm, hd.seg.SegmentAlgorithmTypeValues.MANUAL
    )
    seg = hd.seg.Segmentation(
        [_source(number) for number in range(SLICES)], mask.astype(np.uint8), hd.seg.SegmentationTypeValues.BINARY,
        [segment], "1.2.3.6", 1, uid, 1, "maker", "model", "1", "2", content_creator_name=reader,
        omit_empty_frames=True,
    )  # fmt: skip
    seg.InstitutionName = "Hospital A"
    return seg


def _save(path: Path, seg: pydicom.Dataset) -> Path:
    seg.save_as(path, enforce_file_format=True)
    return path


def _mask() -> np.ndarray:
    """3 slices of 5 x 4 pixels, and a lesion of 8 voxels, which is too small to count."""
    mask = np.zeros((SLICES, ROWS, COLUMNS), bool)
    mask[4:7, 8:13, 10:14] = True
    mask[9:11, 2:4, 2:4] = True
    return mask


def test_a_draft_of_readings(tmp_path: Path) -> None:
    log = _log(tmp_path / "audit.jsonl", [("series-analysed", SERIES), ("delivered", SERIES)])
    seg = _save(tmp_path / "seg.dcm", _seg(_mask()))
    (reading,) = readings_from_audit(log, [seg], {SERIES: "case-1"})
    assert (reading.reader, reading.institution, reading.case) == ("Reader^One", "Hospital A", "case-1")
    assert reading.assist and reading.seconds is None and reading.level == ""
    assert reading.findings is not None
    (found,) = reading.findings
    # Columns 10 to 13, rows 8 to 12, slices 4 to 6: x = -6 + 0.5 * 11.5, y = -5 + 0.5 * 10, z = 40 + 2 * 5.
    assert found.centre_mm == pytest.approx((-0.25, 0.0, 50.0))
    # 60 voxels of 0.5 mm3 are 30 mm3: diameter (6 * 30 / pi)^(1/3) = 3.855 mm.
    assert found.diameter_mm == pytest.approx(3.855, abs=1e-3)
    write_readings(tmp_path / "draft.csv", [reading])
    with pytest.raises(ReadingsError, match="level is ''"):
        read_readings(tmp_path / "draft.csv")


def test_gaps_between_frames_are_kept() -> None:
    """Empty frames are not stored: two lesions five slices apart are two."""
    mask = np.zeros((SLICES, ROWS, COLUMNS), bool)
    mask[1, 5:10, 5:10] = mask[6, 5:10, 5:10] = True
    assert [found.centre_mm[2] for found in findings_of_segmentation(_seg(mask))] == pytest.approx([42.0, 52.0])


def test_the_order_of_frames_does_not_matter() -> None:
    seg = _seg(_mask())
    turned = _seg(_mask())
    frames = turned.pixel_array[::-1]
    turned.PixelData = pydicom.pixels.pack_bits(frames)
    turned.PerFrameFunctionalGroupsSequence = list(turned.PerFrameFunctionalGroupsSequence)[::-1]
    assert findings_of_segmentation(pydicom.dcmread(_bytes(turned))) == findings_of_segmentation(seg)


def test_what_is_refused(tmp_path: Path) -> None:
    log = _log(tmp_path / "audit.jsonl", [("delivered", "1.9"), ("series-refused", SERIES), ("delivered", "1.8")])
    segs = [
        _save(tmp_path / "undelivered.dcm", _seg(_mask())),
        _save(tmp_path / "image.dcm", _source(0)),
    ]
    with pytest.raises(ReadingsError) as refused:
        readings_from_audit(log, segs, {SERIES: "c"})
    assert [problem.split(": ", 1)[1].split(",")[0] for problem in refused.value.problems] == [
        f"no result of series {SERIES} was delivered", "it is no DICOM SEG"
    ]  # fmt: skip
    log = _log(tmp_path / "audit.jsonl", [("delivered", SERIES)])
    own = _save(tmp_path / "own.dcm", _seg(_mask(), uid=OWN))
    nameless = _save(tmp_path / "nameless.dcm", _seg(_mask(), reader=""))
    with pytest.raises(ReadingsError, match=r"the node's own result[\s\S]*does not say who made it"):
        readings_from_audit(log, [own, nameless], {SERIES: "c"})
    with pytest.raises(ReadingsError, match="no case is named for series"):
        readings_from_audit(log, segs[:1], {})
    with pytest.raises(ReadingsError, match="twice"):
        readings_from_audit(log, segs[:1] * 2, {SERIES: "c"})


def test_a_changed_or_shortened_log_is_refused(tmp_path: Path) -> None:
    log = _log(tmp_path / "audit.jsonl", [("delivered", SERIES), ("series-done", SERIES), ("node-stopped", SERIES)])
    lines = log.read_text(encoding="utf-8").splitlines()
    log.write_text("\n".join(lines[1:]), encoding="utf-8")  # a later beginning is what --since gives
    assert readings_from_audit(log, [], {}) == ()
    log.write_text("\n".join([lines[0], lines[2]]), encoding="utf-8")
    with pytest.raises(ReadingsError, match="line 2"):
        readings_from_audit(log, [], {})
    log.write_text(json.dumps({**json.loads(lines[0]), "event": "delivered-"}), encoding="utf-8")
    with pytest.raises(ReadingsError, match="line 1: it was changed"):
        readings_from_audit(log, [], {})
    log.write_text("no log", encoding="utf-8")
    with pytest.raises(ReadingsError, match="cannot be read as an audit log"):
        readings_from_audit(log, [], {})


def _bytes(seg: pydicom.Dataset) -> pydicom.filebase.DicomBytesIO:
    content = pydicom.filebase.DicomBytesIO()
    seg.save_as(content)
    content.seek(0)
    return content
