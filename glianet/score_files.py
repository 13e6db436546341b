"""What is kept beside a findings file to make maps of: voxel scores, and risks. Needs neither torch nor DICOM.

findings/N.npz          the findings of a volume
findings/N-scores.npz   scores of the voxels above the threshold, in the slices that hold a lesion, as bytes
findings/N-risk.npz     risk of each position of the window of the risk map
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glianet.archive import UNREADABLE, archive_bytes, read_archive
from glianet.durable import write_durably
from glianet.errors import FindingsError
from glianet.findings import Findings, slices_with_lesions
from glianet.scores import RiskGrid, coverage

SCORES_FORMAT = "glianet-scores-1"
RISK_FORMAT = "glianet-risk-1"
HIGHEST = 255
"""The byte that stands for a score of 1.0; 0 stands for a voxel that is not above the threshold."""
SAME_ANALYSIS = (
    "algorithm_version",
    "weights_sha256",
    "threshold",
    "detection_threshold",
    "minimum_volume_mm3",
    "minimum_voxels",
    "step",
    "exact",
    "computation",
)
"""What findings and the files beside them must have in common."""


def scores_path(findings: Path) -> Path:
    """Where the scores of the findings at this path are kept."""
    return findings.with_name(f"{findings.stem}-scores.npz")


def risk_path(findings: Path) -> Path:
    """Where the risks of the findings at this path are kept."""
    return findings.with_name(f"{findings.stem}-risk.npz")


def quantise(scores: ArrayLike) -> NDArray[np.uint8]:
    """Scores 0 to 1, of any shape, as bytes 0 to 255: within 1/510 of what they were.

    Halves are rounded to the even byte. Order is kept, but a score close above the threshold may get a byte that
    stands for less than the threshold (0.3101 above 0.31 gets 79, which is 0.3098). No score above 0 becomes 0, so
    that whatever is not 0 was above the threshold.
    """
    exact = np.asarray(scores, np.float64)
    bytes_: NDArray[np.uint8] = np.maximum(np.rint(exact * HIGHEST), exact > 0).astype(np.uint8)
    return bytes_


def save_scores(probability: NDArray[np.float32], findings: Findings, path: Path) -> None:
    """Keeps the scores of the voxels strictly above the threshold, of the slices that hold a lesion.

    probability: (D, H, W) float32, 0 to 1, of which the findings were made (`glianet.scores.Scores`).
    The same scores give the same bytes. The file is durable when this returns. Raises OSError.
    """
    first, last = slices_with_lesions(findings)
    kept = np.zeros((last - first, *probability.shape[1:]), np.uint8)
    for plane, scores in zip(kept, probability[first:last], strict=True):
        plane[:] = quantise(np.where(scores > findings.threshold, scores, 0))
    document = {"format": SCORES_FORMAT, "first_slice": first, **_analysis(findings)}
    write_durably(path, archive_bytes("scores", document, {"scores": kept}))


def load_scores(path: Path, findings: Findings) -> NDArray[np.uint8]:
    """(D, H, W) uint8, 0 = 0.0 to 255 = 1.0, on the grid of the findings that they belong to.

    Raises FindingsError when the file is absent, damaged, of another format, or of another analysis.
    """
    try:
        document, (kept,) = read_archive(path, "scores", "scores")
        _check_document(document, SCORES_FORMAT, findings)
        return _on_grid(kept, document["first_slice"], findings)
    except UNREADABLE as problem:
        raise _unreadable("scores", path, problem) from problem


def save_risk(risk: RiskGrid, findings: Findings, path: Path) -> None:
    """Keeps the risks as they are. The same risks give the same bytes, durable when this returns. Raises OSError."""
    document = {"format": RISK_FORMAT, "starts": [list(axis) for axis in risk.starts], **_analysis(findings)}
    write_durably(path, archive_bytes("risk", document, {"risk": risk.values}))


def load_risk(path: Path, findings: Findings) -> RiskGrid:
    """The risks of the volume that the findings are of.

    Raises FindingsError when the file is absent, damaged, of another format, or of another analysis.
    """
    try:
        document, (values,) = read_archive(path, "risk", "risk")
        _check_document(document, RISK_FORMAT, findings)
        z, y, x = (tuple(int(start) for start in axis) for axis in document["starts"])
        _check_risk(values, (z, y, x), findings.labels.shape)
        return RiskGrid(values, (z, y, x))
    except UNREADABLE as problem:
        raise _unreadable("risks", path, problem) from problem


def _analysis(findings: Findings) -> dict[str, Any]:
    return {"shape": list(findings.labels.shape), **{name: getattr(findings, name) for name in SAME_ANALYSIS}}


def _check_document(document: dict[str, Any], expected: str, findings: Findings) -> None:
    if document["format"] != expected:
        raise ValueError(f"its format is {document['format']!r} instead of {expected!r}")
    stated = {"detection_threshold": document["threshold"], **document}  # earlier ones have one for both
    for name, value in _analysis(findings).items():
        if stated[name] != value:
            raise ValueError(f"it is of another analysis: {name} is {stated[name]!r}, of the findings {value!r}")


def _on_grid(kept: NDArray[Any], first: int, findings: Findings) -> NDArray[np.uint8]:
    """The slices in their places; each lesion must have the highest score that the findings state."""
    if kept.dtype != np.uint8 or (first, first + len(kept)) != slices_with_lesions(findings):
        raise ValueError("it does not hold the slices with lesions")
    scores = np.zeros(findings.labels.shape, np.uint8)
    scores[first : first + len(kept)] = kept
    for lesion in findings.lesions:
        box = tuple(slice(*ends) for ends in lesion.bounding_box)
        inside = scores[box][findings.labels[box] == lesion.number]
        if inside.min() == 0 or inside.max() != quantise(lesion.maximum_score):
            raise ValueError(f"it does not hold the scores of lesion {lesion.number}")
    return scores


def _check_risk(values: NDArray[Any], starts: Sequence[tuple[int, ...]], shape: Sequence[int]) -> None:
    if values.dtype != np.float32 or values.shape != tuple(map(len, starts)):
        raise ValueError("the risks do not fit the positions of the window")
    if not all(coverage(axis, length).any(axis=1).all() for axis, length in zip(starts, shape, strict=True)):
        raise ValueError("the positions of the window leave a part of the volume out")
    if not ((values >= 0) & (values <= 1)).all():  # nor is what is no number
        raise ValueError("a risk is not from 0 to 1")


def _unreadable(what: str, path: Path, problem: BaseException) -> FindingsError:
    return FindingsError(
        what=f"the {what} cannot be read ({problem})", where=str(path), advice="Analyse the series again"
    )
