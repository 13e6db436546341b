"""What weights got wrong, place by place: targets that were missed, and findings where there is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.figures.segmentation_panels import PanelCase, draw_segmentation_panels
from training.metrics.targets import Detection, Target, match_targets, predicted_mask
from training.metrics.voxels import THRESHOLD

MOST_OF_A_KIND = 4


@dataclass(frozen=True, eq=False)
class Failure:
    """missed: a target that was not found, else a finding without one. diameter_mm: of the sphere of equal volume."""

    panel: PanelCase
    missed: bool
    diameter_mm: float


def find_failures(
    name: str,
    hu: NDArray[np.int16],
    spacing_mm: tuple[float, float, float],
    truth: NDArray[np.bool_],
    probability: NDArray[np.floating],
    detection: Detection | None = None,
) -> list[Failure]:
    """Those of one case, (D, H, W) each, by the paper's rule for matching targets (page 9); of what the node shows."""
    found = predicted_mask(probability, THRESHOLD, detection)
    matches = match_targets(truth, probability, THRESHOLD, detection)
    voxel_mm3 = float(np.prod(spacing_mm))

    def failure(target: Target, missed: bool) -> Failure:
        diameter = target.diameter_mm(voxel_mm3)
        title = f"{name}\n{'missed' if missed else 'false'}, {diameter:.1f} mm"
        k, j, i = (round(value) for value in target.centre)
        return Failure(PanelCase(title, hu, spacing_mm, truth, {"prediction": found}, (k, j, i)), missed, diameter)

    missed = [failure(target, missed=True) for target in matches.true if not target.matched]
    return missed + [failure(target, missed=False) for target in matches.predicted if not target.matched]


def draw_failures(path: Path, failures: Sequence[Failure]) -> bool:
    """The largest that were missed and the largest false ones, at most four of each; whether there was any.

    Raises OSError where the file cannot be written.
    """
    by_size = sorted(failures, key=lambda failure: -failure.diameter_mm)
    chosen = [
        failure.panel
        for missed in (True, False)
        for failure in [one for one in by_size if one.missed == missed][:MOST_OF_A_KIND]
    ]
    if chosen:
        draw_segmentation_panels(path, chosen)
    return bool(chosen)
