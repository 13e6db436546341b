"""One image in, result files out: what `glianet predict` does."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glianet.allocator import give_back_freed_memory
from glianet.durable import write_durably
from glianet.engine import EngineSettings, Progress, score_volume
from glianet.errors import GliaNetError, ReaderError
from glianet.findings import Findings, findings_to_json
from glianet.lesions import LesionSettings, find_lesions
from glianet.load_model import load_model
from glianet.model import ComputeSettings
from glianet.nifti import CANONICAL, read_nifti, read_orientation, write_nifti
from glianet.scores import Scores
from glianet.volume import Volume
from glianet.weights_file import DEFAULT_WEIGHTS

READER_GROUP = "glianet.readers"
"""Entry-point group of callables (path of a folder) -> Volume, found by the name of what they read."""
FOLDER_READER = "dicom"

LEAST_CONTRAST_HU = 150
"""Contrast in arteries and bone are brighter: a volume without is of something else, or in other units."""

log = logging.getLogger(__name__)

Reader = Callable[[Path], Volume]
Array = NDArray[np.generic]


@dataclass(frozen=True)
class Prediction:
    """The findings and the files they went to."""

    findings: Findings
    files: tuple[Path, ...]


def predict(
    image: Path,
    folder: Path,
    *,
    weights: Sequence[Path] = (DEFAULT_WEIGHTS,),
    compute: ComputeSettings | None = None,
    engine: EngineSettings,
    lesions: LesionSettings,
    probability: bool = False,
    progress: Progress | None = None,
) -> Prediction:
    """Writes mask.nii.gz (lesion numbers) and, last, findings.json to `folder`.

    Beside them probability.nii.gz where it is asked for (`engine` must have no threshold, or it holds nothing below),
    and risk.nii.gz where `engine` has an overlap for the risk map. image: a NIfTI file, whose orientation the results
    share, or a folder with one DICOM series, whose results have the canonical orientation. Raises GliaNetError when
    input or weights are not usable, OSError when writing fails.
    """
    volume, orientation = read_image(image)
    if volume.hu.max() < LEAST_CONTRAST_HU:
        log.warning("%s: no voxel reaches %d HU; is it a CTA in Hounsfield units?", image, LEAST_CONTRAST_HU)
    loaded = load_model(weights, compute)
    scores = score_volume(volume, loaded.model, engine, progress)
    give_back_freed_memory()
    findings = find_lesions(scores, volume, lesions, weights_sha256=loaded.sha256)
    del volume, loaded  # writing takes twice the memory of what is written
    return Prediction(findings, _write(findings, scores, folder, orientation, probability))


def read_image(image: Path) -> tuple[Volume, str]:
    """The volume of a NIfTI file or DICOM folder, and the orientation of its results. Raises GliaNetError."""
    if not image.exists():
        raise ReaderError(what="there is no such file or folder", where=str(image))
    if image.is_dir():
        return _read_folder(image), CANONICAL
    return read_nifti(image), read_orientation(image)


def _read_folder(folder: Path) -> Volume:
    """What the reader makes of the folder; its own errors come out as ReaderError, its defects as they are.

    A reader's error says what is wrong and what to do in its attributes `what` and `advice`.
    """
    read = _folder_reader(folder)
    try:
        return read(folder)
    except Exception as problem:
        what, advice = (getattr(problem, name, "") for name in ("what", "advice"))
        if not what or isinstance(problem, GliaNetError):
            raise
        raise ReaderError(what=str(what), where=str(folder), advice=str(advice)) from problem


def _folder_reader(folder: Path) -> Reader:
    for entry in entry_points(group=READER_GROUP, name=FOLDER_READER):
        reader: Reader = entry.load()
        return reader
    raise ReaderError(
        what="no reader for DICOM folders is installed",
        where=str(folder),
        advice=f"Install the package that registers {FOLDER_READER!r} in {READER_GROUP!r}, or give a NIfTI file",
    )


def _write(
    findings: Findings, scores: Scores, folder: Path, orientation: str, probability: bool
) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    document = folder / "findings.json"
    document.unlink(missing_ok=True)
    written = []
    for name, make in _images(findings, scores, probability):
        path = folder / f"{name}.nii.gz"
        path.unlink(missing_ok=True)  # of an earlier run that had other settings
        array = make()
        if array is not None:
            give_back_freed_memory()
            write_nifti(path, array, findings.affine, orientation)
            written.append(path)
        del array
    write_durably(document, findings_to_json(findings).encode())
    return (*written, document)


def _images(
    findings: Findings, scores: Scores, probability: bool
) -> tuple[tuple[str, Callable[[], Array | None]], ...]:
    """Name of each image, and what makes it, or None: one at a time is in memory."""
    risk = scores.fine_risk
    return (
        ("mask", lambda: findings.labels),
        ("probability", lambda: scores.probability if probability else None),
        ("risk", lambda: risk.to_map(scores.shape) if risk else None),
    )
