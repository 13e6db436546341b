"""Matches predicted targets with true ones, as the paper counts detections (page 9).

    prediction --close with a 7^3 cube--> components of more than 10 voxels --.
                                                                              +--> matched where the centres lie closer
    truth -----------------------------> components of more than 10 voxels --'     than the sum of the radii
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glianet.lesions import LesionSettings
from training.metrics.boxes import box_of, grown

CLOSING_VOXELS = 7
"""Edge of the cube that a prediction is closed with: one target in pieces is one target."""

MOST_VOXELS_DROPPED = 10
"""Components of so many voxels or fewer are dropped, of truth and prediction alike."""

RADIUS_OF_CUBE_ROOT = 0.62
"""Radius of the sphere of a volume's size by the volume's cube root, (3 / 4 pi)^(1/3), as the published code rounds."""

_NEIGHBOURS = np.ones((3, 3, 3), bool)

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Target:
    """A component. centre: (z, y, x) voxels; score: the highest probability in it; matched: with any of the others."""

    centre: tuple[float, float, float]
    voxels: int
    score: float
    matched: bool = False

    @property
    def radius(self) -> float:
        """Voxels."""
        return float(RADIUS_OF_CUBE_ROOT * self.voxels ** (1 / 3))

    def diameter_mm(self, voxel_mm3: float) -> float:
        """Of the sphere of equal volume, whose size the paper's classes (under 3, 3 to 7, over 7 mm) are taken by."""
        return float(2 * (3 * self.voxels * voxel_mm3 / (4 * np.pi)) ** (1 / 3))


@dataclass(frozen=True)
class TargetMatches:
    """True targets and predicted ones. A target that several of the others match counts once."""

    true: tuple[Target, ...]
    predicted: tuple[Target, ...]

    @property
    def tp(self) -> int:
        """True targets that are matched."""
        return sum(target.matched for target in self.true)

    @property
    def fn(self) -> int:
        """True targets that are not."""
        return len(self.true) - self.tp

    @property
    def fp(self) -> int:
        """Predicted targets that match no true one."""
        return sum(not target.matched for target in self.predicted)


@dataclass(frozen=True)
class Detection:
    """How the node decides whether it shows a component: where at least `least_voxels` of it are above `threshold`."""

    threshold: float
    least_voxels: int

    @classmethod
    def of_node(cls, threshold: float | None, spacing_mm: tuple[float, float, float]) -> "Detection | None":
        """With the node's default sizes, in voxels of this spacing; None without a threshold."""
        if threshold is None:
            return None
        sizes, voxel_mm3 = LesionSettings(), float(np.prod(spacing_mm))
        return cls(threshold, max(sizes.minimum_voxels, ceil(sizes.minimum_volume_mm3 / voxel_mm3)))


def match_targets(
    truth: Mask, probability: NDArray[np.floating], threshold: float, detection: Detection | None = None
) -> TargetMatches:
    """Targets of truth (D, H, W) and of what is predicted in probability (D, H, W), see `predicted_mask`."""
    mask = predicted_mask(probability, threshold, detection)
    return match(find_targets(truth), find_targets(close_prediction(mask), probability))


def predicted_mask(probability: NDArray[np.floating], threshold: float, detection: Detection | None = None) -> Mask:
    """The voxels of (D, H, W) above the threshold; with `detection`, only those of components that the node shows."""
    above = np.asarray(probability > threshold)
    box = box_of(above)
    if detection is None or box is None:
        return above
    labels, count = ndimage.label(above[box], _NEIGHBOURS)
    certain = labels[probability[box] > detection.threshold]
    shown = np.bincount(certain, minlength=count + 1) >= detection.least_voxels
    shown[0] = False
    above[box] = shown[labels]
    return above


def match(true: list[Target], predicted: list[Target]) -> TargetMatches:
    """Marks those of either kind that match one of the other."""
    near = [[_match(one, other) for other in predicted] for one in true]
    found = [any(row) for row in near]
    wanted = [any(row[number] for row in near) for number in range(len(predicted))]
    return TargetMatches(_marked(true, found), _marked(predicted, wanted))


def find_targets(mask: Mask, probability: NDArray[np.floating] | None = None) -> list[Target]:
    """The 26-connected components of more than 10 voxels of (D, H, W), in the order of their first voxel."""
    box = box_of(mask)
    if box is None:
        return []
    labels, count = ndimage.label(mask[box], _NEIGHBOURS)
    corner = np.array([side.start for side in box])
    scores = probability[box] if probability is not None else None
    found = []
    for number, part in enumerate(ndimage.find_objects(labels, count), start=1):
        own = labels[part] == number
        voxels = int(own.sum())
        if voxels > MOST_VOXELS_DROPPED:
            first = corner + [side.start for side in part]
            z, y, x = (float(value) for value in np.argwhere(own).mean(axis=0) + first)
            found.append(Target((z, y, x), voxels, float(scores[part][own].max()) if scores is not None else 1.0))
    return found


def close_prediction(mask: Mask) -> Mask:
    """Binary closing of (D, H, W) with a 7^3 cube; what lies outside the volume counts as empty."""
    box = box_of(mask)
    if box is None:
        return mask
    around = grown(box, CLOSING_VOXELS, mask.shape)
    closed = np.zeros_like(mask)
    wide = ndimage.maximum_filter(mask[around].view(np.uint8), CLOSING_VOXELS, mode="constant", cval=0)
    closed[around] = ndimage.minimum_filter(wide, CLOSING_VOXELS, mode="constant", cval=0).view(bool)
    return closed


def _match(one: Target, other: Target) -> bool:
    distance = float(np.linalg.norm(np.subtract(one.centre, other.centre)))
    return distance < one.radius + other.radius


def _marked(targets: list[Target], matched: list[bool]) -> tuple[Target, ...]:
    return tuple(
        Target(target.centre, target.voxels, target.score, hit)
        for target, hit in zip(targets, matched, strict=True)
    )
