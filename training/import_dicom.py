"""A CT series and its DICOM Segmentation as a case: NIfTI files and a manifest row that do not tell whose they are."""

import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.manifest import CasesError, ManifestCase
from training.nifti import write_grid
from training.pseudonyms import patient_pseudonym
from training.read_segmentation import read_segmentation
from training.series_identity import SeriesIdentity, identify_series

IMAGE, LABEL, DICOM = "image.nii.gz", "label.nii.gz", "dicom"

_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What may name a folder on every system."""


def import_series(
    folder: Path,
    seg: Path | None,
    out: Path,
    *,
    case: str,
    institution: str,
    key: bytes,
    split: str = "",
    ruptured: str = "",
    segments: Sequence[int] | None = None,
    negative: bool = False,
    keep_dicom: bool = False,
) -> ManifestCase:
    """Writes `out`/`case`/image.nii.gz and, where there is a SEG, label.nii.gz; the case as the manifest lists it.

    folder: one CT series, in any order, with or without subfolders; it is only read. seg: the SEG drawn on it; its
    segments, or those of the numbers `segments`, become 1. negative: without a SEG, the case is known to have no
    aneurysm and gets an empty label; else it gets none. keep_dicom: de-identified copies of the DICOM files too.

    Of the patient, age in years, sex and a pseudonym that `key` makes of the Patient ID are kept, nothing else. The new
    folder appears whole or not at all. Raises CasesError where the series or the SEG cannot be used, `out` lies in the
    folders that are read, or the case is there already. Raises OSError.
    """
    target = out / case
    _check_target(target, case, folder, seg)
    if negative and seg:
        raise CasesError(folder, ["it is called negative, but has a segmentation; give one of the two"])
    series = identify_series(folder)
    hu, affine = _read_volume(folder)
    label = np.zeros(hu.shape, np.uint8) if negative else None
    if seg:
        label = read_segmentation(seg, series, affine, hu.shape, segments)
    patient = patient_pseudonym(key, series.patient_id)
    with _new_folder(target) as made:
        write_grid(made / IMAGE, hu, affine)
        if label is not None:
            write_grid(made / LABEL, label, affine)
        if keep_dicom:
            _keep_dicom(series, seg, made / DICOM, key, patient)
    return ManifestCase(
        case=case,
        image=target / IMAGE,
        label=target / LABEL if label is not None else None,
        patient=patient,
        institution=institution,
        split=split,
        age=series.age,
        sex=series.sex,
        ruptured=ruptured,
    )


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder to be filled, which appears as `target` when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=target.parent) as temporary:
        made = Path(temporary) / target.name
        made.mkdir()
        yield made
        shutil.move(made, target)


def _check_target(target: Path, case: str, folder: Path, seg: Path | None) -> None:
    problems = []
    new, read = target.resolve(), folder.resolve()
    if not _CASE.fullmatch(case):
        problems.append(f"{case!r} cannot name a case; use up to 64 letters, digits, dots, dashes and underscores")
    if new.is_relative_to(read) or read.is_relative_to(new) or (seg and seg.resolve().is_relative_to(new)):
        problems.append(f"{target} would be written among the DICOM files; name a folder apart from them")
    elif target.exists():
        problems.append(f"{target} is there already; delete it to import the series again")
    if not folder.is_dir():
        problems.append("there is no such folder")
    if problems:
        raise CasesError(folder, problems)


def _read_volume(folder: Path) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    from dicom_node.errors import NodeError
    from dicom_node.read_series import read_folder

    try:
        volume = read_folder(folder)
    except NodeError as problem:
        raise CasesError(folder, [f"the series cannot be used: {problem}"]) from problem
    return volume.hu, volume.affine


def _keep_dicom(series: SeriesIdentity, seg: Path | None, folder: Path, key: bytes, patient: str) -> None:
    from training.deidentify import deidentify

    deidentify([*series.files, *([seg] if seg else [])], folder, key, patient)
