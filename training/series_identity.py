"""Whose series lies in a folder, and which: what is needed of the headers beside the image."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from struct import error
from typing import Any

from training.manifest import CasesError

CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""CT, Enhanced CT and Legacy Converted Enhanced CT Image Storage (PS3.4 B.5)."""
SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation and Label Map Segmentation Storage."""

OLDEST_TOLD_YEARS = 90
"""Whoever is over 89 counts as 90 (45 CFR 164.514 (b)(2)(i)(C), which PS3.15 E.3.5 refers ages to)."""

_NEEDED = [
    "SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientSex",
    "PatientAge", "PatientBirthDate", "StudyDate", "BurnedInAnnotation", "ReferencedSeriesSequence",
]  # fmt: skip
_IN_A_YEAR = {"Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}
"""Units of an Age String (PS3.5 table 6.2-1)."""
_DAMAGED = (ValueError, TypeError, LookupError, AttributeError, EOFError, NotImplementedError, error)
"""What pydicom raises where bytes are not what they say they are."""


@dataclass(frozen=True)
class SeriesIdentity:
    """A CT series. It holds the patient's real ID: nothing of it but age and sex may be written anywhere.

    age: whole years, 90 for whoever is over 89, None where unknown. sex: "F", "M", "O" or "". files: of the images.
    """

    patient_id: str
    age: float | None
    sex: str
    series_instance_uid: str
    frame_of_reference_uid: str
    files: tuple[Path, ...]


def identify_series(folder: Path) -> SeriesIdentity:
    """The one CT series in a folder and its subfolders; other objects are passed over.

    Raises CasesError where there is not one CT series of one patient with a Patient ID, or where its pixels are said to
    show text (Burned In Annotation). Raises OSError.
    """
    images = [(path, header) for path, header in read_headers(folder) if header.get("SOPClassUID") in CT_CLASSES]
    problems = []
    series, patients, frames = (
        {str(header.get(keyword) or "").strip() for _, header in images}
        for keyword in ("SeriesInstanceUID", "PatientID", "FrameOfReferenceUID")
    )
    if len(series) != 1:
        problems.append(f"it holds {len(series)} CT series instead of one; name the folder of one")
    elif len(patients) != 1 or len(frames) != 1:
        problems.append("its images are of several patients or frames of reference; export the series again")
    elif patients == {""}:
        problems.append("it has no Patient ID, without which cases of one patient cannot be kept together; add it")
    if any(str(header.get("BurnedInAnnotation") or "").upper() == "YES" for _, header in images):
        problems.append("text is burned into its pixels (Burned In Annotation), which cannot be taken out here")
    if problems:
        raise CasesError(folder, problems)
    header = images[0][1]
    sex = str(header.get("PatientSex") or "").strip().upper()
    return SeriesIdentity(
        patient_id=patients.pop(),
        age=_age(header),
        sex=sex if sex in ("F", "M", "O") else "",
        series_instance_uid=series.pop(),
        frame_of_reference_uid=frames.pop(),
        files=tuple(path for path, _ in images),
    )


def read_headers(folder: Path) -> Iterator[tuple[Path, Any]]:
    """The DICOM files in a folder and its subfolders by name, or the one file, with the attributes needed here.

    Raises CasesError at a damaged one.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    for path in [folder] if folder.is_file() else sorted(folder.rglob("*")):
        if path.is_file():
            try:
                yield path, dcmread(path, stop_before_pixels=True, specific_tags=_NEEDED)
            except InvalidDicomError:  # no DICOM file at all
                continue
            except _DAMAGED as problem:
                what = f"{path.name} is a damaged DICOM file ({type(problem).__name__}); export the series again"
                raise CasesError(folder, [what]) from problem


def _age(header: Any) -> float | None:
    """By Patient's Age, else from the dates of birth and study."""
    stated = str(header.get("PatientAge") or "").strip().upper()
    if len(stated) == 4 and stated[:3].isdigit() and stated[3] in _IN_A_YEAR:
        years = float(int(int(stated[:3]) / _IN_A_YEAR[stated[3]]))
    else:
        born, studied = (_date(header.get(keyword)) for keyword in ("PatientBirthDate", "StudyDate"))
        if born is None or studied is None or studied < born:
            return None
        years = float(studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day)))
    return min(years, float(OLDEST_TOLD_YEARS))


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(str(value or "").strip())
    except ValueError:
        return None
