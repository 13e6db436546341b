"""Everything that is counted in one case."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics.surface import hausdorff_95_mm
from training.metrics.targets import Detection, TargetMatches, match_targets, predicted_mask
from training.metrics.voxels import THRESHOLD, VoxelCounts, VoxelHistograms, count_voxels

FROC_THRESHOLDS = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999,
)  # fmt: skip
"""At which targets are matched for the free-response curve; networks that are sure differ close to 0 and 1 alone."""

SIZE_LIMITS_MM = (3.0, 7.0)
"""Classes of aneurysm sizes: under 3, 3 to 7, over 7 mm (paper, Table 5)."""
SIZE_NAMES = ("<3 mm", "3-7 mm", ">7 mm")


@dataclass(frozen=True, eq=False)
class CaseScore:
    """One case, scored.

    name, institution: of the manifest; spacing_mm along (D, H, W). voxels, hd95_mm, targets: of what is predicted at
    the threshold 0.5, hd95_mm None where truth or prediction is empty. froc: (tp, fp) at each of `FROC_THRESHOLDS`.
    """

    name: str
    institution: str
    spacing_mm: tuple[float, float, float]
    voxels: VoxelCounts
    histograms: VoxelHistograms
    hd95_mm: float | None
    targets: TargetMatches
    froc: tuple[tuple[int, int], ...]

    @property
    def has_aneurysm(self) -> bool:
        """By the truth."""
        return bool(self.targets.true)

    @property
    def found_positive(self) -> bool:
        """Whether any target is predicted."""
        return bool(self.targets.predicted)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Size class of each true target, 0 to 2."""
        voxel_mm3 = float(np.prod(self.spacing_mm))
        return tuple(size_class(target.diameter_mm(voxel_mm3)) for target in self.targets.true)

    def to_json(self) -> dict[str, Any]:
        """Counts and rates of the case, for `score --json`."""
        voxel_mm3 = float(np.prod(self.spacing_mm))
        return {
            "case": self.name,
            "institution": self.institution,
            "spacing_mm": list(self.spacing_mm),
            **counts_to_json(self.voxels),
            "hd95_mm": self.hd95_mm,
            "target_tp": self.targets.tp,
            "target_fp": self.targets.fp,
            "target_fn": self.targets.fn,
            "targets": [
                {
                    "diameter_mm": target.diameter_mm(voxel_mm3),
                    "size": SIZE_NAMES[size],
                    "centre_voxel": list(target.centre),
                    "found": target.matched,
                }
                for target, size in zip(self.targets.true, self.sizes, strict=True)
            ],
            "false_positives": [
                {
                    "diameter_mm": target.diameter_mm(voxel_mm3),
                    "centre_voxel": list(target.centre),
                    "score": target.score,
                }
                for target in self.targets.predicted
                if not target.matched
            ],
        }


def score_case(
    truth: NDArray[np.bool_],
    probability: NDArray[np.floating],
    spacing_mm: tuple[float, float, float],
    name: str = "",
    institution: str = "",
    detection_threshold: float | None = None,
) -> CaseScore:
    """Scores probability (D, H, W), 0 to 1, against truth (D, H, W). Raises ValueError for other values or shapes.

    detection_threshold: where given, what is predicted are the components above 0.5 that have enough voxels above it,
    as the node shows them, and the free-response curve varies it from 0.5 on. Histograms, and with them AUC and AP,
    are always of all voxels. Memory: two masks of the volume, and the part of it that holds any score above 0.01, in
    numbers of four bytes where its components are told apart.
    """
    if truth.shape != probability.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {probability.shape}")
    detection = Detection.of_node(detection_threshold, spacing_mm)
    counts, histograms = count_voxels(truth, probability)
    found = predicted_mask(probability, THRESHOLD, detection)
    return CaseScore(
        name=name,
        institution=institution,
        spacing_mm=spacing_mm,
        voxels=counts if detection is None else VoxelCounts.of(truth, found),
        histograms=histograms,
        hd95_mm=hausdorff_95_mm(truth, found, spacing_mm),
        targets=match_targets(truth, probability, THRESHOLD, detection),
        froc=tuple(_at_level(truth, probability, level, detection) for level in FROC_THRESHOLDS),
    )


def _at_level(
    truth: NDArray[np.bool_], probability: NDArray[np.floating], level: float, detection: Detection | None
) -> tuple[int, int]:
    """True and false positives of one point of the free-response curve."""
    if detection is not None:
        detection = replace(detection, threshold=level)
    matches = match_targets(truth, probability, level if detection is None else min(level, THRESHOLD), detection)
    return matches.tp, matches.fp


def size_class(diameter_mm: float) -> int:
    """0 under 3 mm, 1 from 3 to 7 mm, 2 over 7 mm."""
    small, large = SIZE_LIMITS_MM
    return 0 if diameter_mm < small else 1 if diameter_mm <= large else 2


def counts_to_json(counts: VoxelCounts) -> dict[str, Any]:
    """Voxel counts and the rates that follow from them."""
    return {
        "tp": counts.tp,
        "fp": counts.fp,
        "fn": counts.fn,
        "tn": counts.tn,
        "precision": counts.precision,
        "recall": counts.recall,
        "dsc": counts.dsc,
    }
