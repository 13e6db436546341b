"""What was found in a volume, and the file it is kept in. Needs neither torch nor DICOM."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glianet.archive import UNREADABLE, archive_bytes, read_archive
from glianet.durable import write_durably
from glianet.errors import FindingsError, VolumeError
from glianet.volume import check_affine

FORMAT = "glianet-findings-2"
FORMAT_OF_SLICES = "glianet-findings-1"
"""Of versions before, with whole slices: an upgrade may find one that waits to be published."""
ALGORITHM_NAME = "GLIA-Net"
NOTICE = "For research use only. Not for diagnosis."


@dataclass(frozen=True)
class Lesion:
    """One connected region that the model takes for an aneurysm. Indices are (k, j, i) of the volume's array.

    number: 1 and up, its value in `Findings.labels`. voxels: how many. volume_mm3: voxels times voxel volume.
    maximum_diameter_mm: largest distance between two vertices of its surface mesh (IBSI L0JK).
    centre_index: its voxel nearest to its centroid, hence always inside. centre_lps_mm: that voxel, LPS, mm.
    bounding_box: half-open ranges of k, j and i. mean_score, maximum_score: of the voxel probabilities, 0 to 1.
    risk: mean risk of the patches that cover the centre, 0 to 1.
    """

    number: int
    voxels: int
    volume_mm3: float
    maximum_diameter_mm: float
    centre_index: tuple[int, int, int]
    centre_lps_mm: tuple[float, float, float]
    bounding_box: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    mean_score: float
    maximum_score: float
    risk: float


@dataclass(frozen=True, eq=False)
class Findings:
    """All lesions of a volume, the most certain first, and how they came about.

    labels: (D, H, W) uint16 on the volume's grid: 0, or the number of the lesion. affine: the volume's.
    threshold: voxels strictly above it belong to lesions. minimum_volume_mm3, minimum_voxels: a component with less of
    it strictly above detection_threshold was dropped. step, exact, patches_computed, patches_skipped: of the sliding
    window. computation: backend, precision, device and flips (`glianet.model`). weights_sha256: 64 hexadecimal digits
    of the weights file, or "" where there was no file.
    """

    labels: NDArray[np.uint16]
    affine: NDArray[np.float64]
    lesions: tuple[Lesion, ...]
    threshold: float
    detection_threshold: float
    minimum_volume_mm3: float
    minimum_voxels: int
    step: int
    exact: bool
    weights_sha256: str
    algorithm_name: str
    algorithm_version: str
    patches_computed: int
    patches_skipped: int
    computation: str = ""


def findings_to_json(findings: Findings) -> str:
    """Everything but the voxels as JSON text; lengths in mm, coordinates in LPS mm, indices as (k, j, i)."""
    return json.dumps(_document(findings), indent=2, allow_nan=False) + "\n"


def save_findings(findings: Findings, path: Path) -> None:
    """Writes a zip archive of findings.json and the labels of the box that holds the lesions.

    The same findings give the same bytes. The file is durable when this returns. Raises OSError.
    """
    box = _box_with_lesions(findings.lesions)
    document = {"format": FORMAT, "first_voxel": [axis.start for axis in box], **_document(findings)}
    write_durably(path, archive_bytes("findings", document, {"labels": findings.labels[box]}))


def load_findings(path: Path) -> Findings:
    """What `save_findings` wrote. Raises FindingsError when the file is absent, damaged or of another format."""
    try:
        document, (labels,) = read_archive(path, "findings", "labels")
        findings = _from_document(document, labels)
        _check(findings, labels)
    except (*UNREADABLE, VolumeError) as problem:
        raise FindingsError(
            what=f"the findings cannot be read ({problem})",
            where=str(path),
            advice="Analyse the series again",
        ) from problem
    return findings


def slices_with_lesions(findings: Findings) -> tuple[int, int]:
    """Half-open range of the slices that hold any lesion; (0, 0) where there is none."""
    slices = _box_with_lesions(findings.lesions)[0]
    return slices.start, slices.stop


def _box_with_lesions(lesions: Sequence[Lesion]) -> tuple[slice, slice, slice]:
    """The smallest box of voxels (k, j, i) with every lesion; one of no voxels where there is none."""
    ranges = [[lesion.bounding_box[axis] for lesion in lesions] or [(0, 0)] for axis in range(3)]
    k, j, i = (slice(min(first for first, _ in ends), max(last for _, last in ends)) for ends in ranges)
    return k, j, i


def _document(findings: Findings) -> dict[str, Any]:
    return {
        "notice": NOTICE,
        "algorithm_name": findings.algorithm_name,
        "algorithm_version": findings.algorithm_version,
        "weights_sha256": findings.weights_sha256,
        "threshold": findings.threshold,
        "detection_threshold": findings.detection_threshold,
        "minimum_volume_mm3": findings.minimum_volume_mm3,
        "minimum_voxels": findings.minimum_voxels,
        "step": findings.step,
        "exact": findings.exact,
        "patches_computed": findings.patches_computed,
        "patches_skipped": findings.patches_skipped,
        "computation": findings.computation,
        "shape": list(findings.labels.shape),
        "affine": findings.affine.tolist(),
        "lesions": [asdict(lesion) for lesion in findings.lesions],
    }


def _from_document(document: dict[str, Any], stored: NDArray[np.uint16]) -> Findings:
    lesions = tuple(_lesion(entry) for entry in document["lesions"])
    labels = np.zeros(document["shape"], np.uint16)
    box = _stored_box(document, lesions)
    if stored.dtype != np.uint16 or labels[box].shape != stored.shape:
        raise ValueError("the labels do not fit the volume")
    labels[box] = stored
    return Findings(
        labels=labels,
        affine=np.array(document["affine"], np.float64),
        lesions=lesions,
        computation=document.get("computation", ""),  # earlier ones do not say
        detection_threshold=document.get("detection_threshold", document["threshold"]),  # nor have two
        **{name: document[name] for name in _PLAIN_FIELDS},
    )


def _stored_box(document: dict[str, Any], lesions: Sequence[Lesion]) -> tuple[slice, ...]:
    """Where the stored labels lie in the volume."""
    box = _box_with_lesions(lesions)
    if document["format"] == FORMAT_OF_SLICES:
        slices, first = box[0], document["first_slice"]
        return (slice(first, first + slices.stop - slices.start),)
    if document["format"] != FORMAT:
        raise ValueError(f"its format is {document['format']!r} instead of {FORMAT!r}")
    if document["first_voxel"] != [axis.start for axis in box]:
        raise ValueError("the labels do not fit the volume")
    return box


_PLAIN_FIELDS = (
    "threshold",
    "minimum_volume_mm3",
    "minimum_voxels",
    "step",
    "exact",
    "weights_sha256",
    "algorithm_name",
    "algorithm_version",
    "patches_computed",
    "patches_skipped",
)


def _lesion(entry: dict[str, Any]) -> Lesion:
    k, j, i = (tuple(ends) for ends in entry["bounding_box"])
    lists = {name: tuple(entry[name]) for name in ("centre_index", "centre_lps_mm")}
    return Lesion(**{**entry, **lists, "bounding_box": (k, j, i)})


def _check(findings: Findings, stored: NDArray[np.uint16]) -> None:
    """The numbers of voxels in the labels are those that the lesions state."""
    check_affine(findings.affine)
    numbers = [labels[labels > 0] for labels in stored]  # nearly all voxels are 0, and not worth counting
    counted = np.bincount(np.concatenate([np.zeros(0, np.uint16), *numbers]), minlength=1)
    expected = [lesion.voxels for lesion in findings.lesions]
    if counted[1:].tolist() != expected:
        raise ValueError("the labels do not hold the voxels that the lesions state")
