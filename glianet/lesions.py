"""From voxel scores to lesions: threshold, connected components, measurements."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from glianet import __version__
from glianet.errors import SettingsError, VolumeError
from glianet.findings import ALGORITHM_NAME, Findings, Lesion
from glianet.scores import Scores
from glianet.volume import Volume, index_to_lps
from glianet.weights_file import OUTLINE_THRESHOLD

MOST_LESIONS = np.iinfo(np.uint16).max
"""Lesions that the labels can number; a network that finds more has found nothing."""

FACES = np.concatenate((np.eye(3, dtype=np.intp), -np.eye(3, dtype=np.intp)))
"""Steps from a voxel to its six face neighbours."""

SAME_DISTANCE_MM = 1e-6
"""Distances closer than this are equal: rounding must not choose the centre voxel."""

Corner = NDArray[np.intp]


@dataclass(frozen=True)
class LesionSettings:
    """threshold: voxels with a probability strictly above it outline a lesion, 0 to 1 (paper: 0.5).

    detection_threshold: an outlined component counts by its voxels strictly above this, not lower than `threshold`
    (hysteresis). A high one drops what few overlapping patches agree on; what remains keeps its whole outline.
    minimum_volume_mm3: components of which less counts are dropped; 5 mm3 is half of the 5th percentile of real
    aneurysms (9 mm3 in the paper's training cases). minimum_voxels: so are those of which fewer voxels count; the
    published evaluation drops 10 and fewer.
    """

    threshold: float = OUTLINE_THRESHOLD
    detection_threshold: float = OUTLINE_THRESHOLD
    minimum_volume_mm3: float = 5.0
    minimum_voxels: int = 11

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise SettingsError(what=f"{self.threshold} is not between 0 and 1", where="lesion threshold")
        if not self.threshold <= self.detection_threshold <= 1:
            raise SettingsError(
                what=f"{self.detection_threshold:g} is not between the lesion threshold, {self.threshold:g}, and 1",
                where="detection threshold",
            )
        if self.minimum_volume_mm3 < 0 or self.minimum_voxels < 0:
            raise SettingsError(what="a smallest size is negative", where="lesion size")


def find_lesions(
    scores: Scores, volume: Volume, settings: LesionSettings = LesionSettings(), weights_sha256: str = ""
) -> Findings:
    """Measures every 26-connected component of voxels above the threshold of which enough is above the other one.

    Order: maximum score, then volume, both falling, then centre index. weights_sha256 is recorded as it is.
    Raises VolumeError when scores and volume differ in shape, or there are more than 65,535 lesions.
    """
    if scores.shape != volume.shape:
        raise VolumeError(
            what=f"scores have shape {scores.shape}, the volume {volume.shape}", where="lesions"
        )
    _check_threshold(scores, settings)
    corner, components = _components(scores.probability, settings.threshold)
    part = tuple(slice(first, first + length) for first, length in zip(corner, components.shape, strict=True))
    certain = scores.probability[part] > settings.detection_threshold
    measured = [
        _measure(mask, corner + offset, scores, volume)
        for offset, mask in _certain_components(components, certain, volume.voxel_mm3, settings)
    ]
    _check_number(len(measured))
    measured.sort(key=lambda pair: _most_certain_first(pair[0]))
    labels = np.zeros(volume.shape, np.uint16)
    lesions = []
    for number, (lesion, mask) in enumerate(measured, start=1):
        lesions.append(replace(lesion, number=number))
        labels[_box_slices(lesion)][mask] = number
    return Findings(
        labels=labels,
        affine=volume.affine,
        lesions=tuple(lesions),
        threshold=settings.threshold,
        detection_threshold=settings.detection_threshold,
        minimum_volume_mm3=settings.minimum_volume_mm3,
        minimum_voxels=settings.minimum_voxels,
        step=scores.step,
        exact=scores.exact,
        weights_sha256=weights_sha256,
        algorithm_name=ALGORITHM_NAME,
        algorithm_version=__version__,
        patches_computed=scores.patches_computed,
        patches_skipped=scores.patches_skipped,
        computation=scores.computation,
    )


def _check_threshold(scores: Scores, settings: LesionSettings) -> None:
    """Scores below the threshold that they were made for are not there."""
    if scores.threshold is not None and settings.threshold < scores.threshold:
        raise SettingsError(
            what=f"{settings.threshold:g} is below {scores.threshold:g}, down to which there are scores",
            where="lesion threshold",
        )


def _components(probability: NDArray[np.float32], threshold: float) -> tuple[Corner, NDArray[np.int32]]:
    """26-connected components above the threshold of the part that holds any, and the index of its first voxel."""
    box = _box_above(probability, threshold)
    if box is None:
        return np.zeros(3, np.intp), np.zeros((0, 0, 0), np.int32)
    components, _ = ndimage.label(probability[box] > threshold, np.ones((3, 3, 3)), output=np.int32)
    return np.array([axis.start for axis in box], np.intp), components


def _box_above(probability: NDArray[np.float32], threshold: float) -> tuple[slice, slice, slice] | None:
    """The smallest box with every voxel above the threshold, slice by slice: none of the volume is copied."""
    depth, height, width = probability.shape
    slices, rows, columns = np.zeros(depth, bool), np.zeros(height, bool), np.zeros(width, bool)
    for k, plane in enumerate(probability):
        above = plane > threshold
        if above.any():
            slices[k] = True
            rows |= above.any(axis=1)
            columns |= above.any(axis=0)
    return (_extent(slices), _extent(rows), _extent(columns)) if slices.any() else None


def _extent(found: NDArray[np.bool_]) -> slice:
    where = np.flatnonzero(found)
    return slice(int(where[0]), int(where[-1]) + 1)


def _certain_components(
    components: NDArray[np.int32], certain: NDArray[np.bool_], voxel_mm3: float, settings: LesionSettings
) -> Iterator[tuple[Corner, NDArray[np.bool_]]]:
    """First voxel and mask of the bounding box of each component of which enough is certain."""
    boxes = ndimage.find_objects(components) if components.size else []
    for number, box in enumerate(boxes, start=1):
        mask = components[box] == number
        voxels = np.count_nonzero(mask & certain[box])
        if voxels >= settings.minimum_voxels and voxels * voxel_mm3 >= settings.minimum_volume_mm3:
            yield np.array([axis.start for axis in box], np.intp), mask


def _check_number(lesions: int) -> None:
    if lesions > MOST_LESIONS:
        raise VolumeError(
            what=f"{lesions} separate lesions are more than {MOST_LESIONS}",
            where="lesions",
            advice="Raise the threshold, or use other weights",
        )


def _measure(
    mask: NDArray[np.bool_], first: Corner, scores: Scores, volume: Volume
) -> tuple[Lesion, NDArray[np.bool_]]:
    """The lesion, not yet numbered, and its mask in its bounding box, which begins at voxel `first`."""
    inside = np.argwhere(mask) + first
    values = scores.probability[tuple(inside.T)]
    centre = _nearest_to_centroid(inside, volume.affine)
    x, y, z = (float(coordinate) for coordinate in index_to_lps(volume, centre))
    k, j, i = ((int(start), int(start + length)) for start, length in zip(first, mask.shape, strict=True))
    lesion = Lesion(
        number=0,
        voxels=len(inside),
        volume_mm3=len(inside) * volume.voxel_mm3,
        maximum_diameter_mm=maximum_diameter_mm(mask, volume.affine),
        centre_index=centre,
        centre_lps_mm=(x, y, z),
        bounding_box=(k, j, i),
        mean_score=float(values.mean(dtype=np.float64)),
        maximum_score=float(values.max()),
        risk=scores.risk.at(centre),
    )
    return lesion, mask


def _nearest_to_centroid(inside: NDArray[np.intp], affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """Of voxels (N, 3), the one whose centre is nearest in mm to their centroid; of equals, the first."""
    positions = inside @ affine[:3, :3].T
    distances = np.linalg.norm(positions - positions.mean(axis=0), axis=1)
    nearest = np.flatnonzero(distances <= distances.min() + SAME_DISTANCE_MM)[0]
    k, j, i = inside[nearest].tolist()
    return k, j, i


def maximum_diameter_mm(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> float:
    """Maximum 3-D diameter of a mesh (IBSI L0JK) of a mask (D, H, W) that holds at least one voxel, in mm.

    The vertices of the marching-cubes surface of a binary mask are the points halfway between a voxel inside and a
    face neighbour outside. The two farthest lie on their convex hull, which is taken in index space, where voxels are
    cubes: the hull of any mask is solid there, however thin its slices are in mm.
    """
    vertices = _surface_vertices(mask)
    hull = vertices[ConvexHull(vertices).vertices]
    return float(pdist(hull @ affine[:3, :3].T).max())


def _surface_vertices(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(N, 3) index coordinates in the mask padded by one voxel."""
    padded = np.pad(mask, 1)
    inside = np.argwhere(padded)
    on_faces = [inside[~padded[tuple((inside + step).T)]] + step / 2 for step in FACES]
    return np.concatenate(on_faces)


def _most_certain_first(lesion: Lesion) -> tuple[float, float, tuple[int, int, int]]:
    return -lesion.maximum_score, -lesion.volume_mm3, lesion.centre_index


def _box_slices(lesion: Lesion) -> tuple[slice, slice, slice]:
    k, j, i = (slice(*ends) for ends in lesion.bounding_box)
    return k, j, i
