"""What one evaluation of one model over cases found, kept in a JSON file for reports that come later."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glianet.durable import write_durably
from training.metrics.case_score import FROC_THRESHOLDS, CaseScore
from training.metrics.summary import by_institution, summarise
from training.metrics.targets import Target, TargetMatches
from training.metrics.voxels import CURVE_THRESHOLDS, VoxelCounts, VoxelHistograms

FORMAT = "glianet-training results"
VERSION = 2


class ResultsError(Exception):
    """A results file is absent, damaged or of another version; the text says which and what to do."""


@dataclass(frozen=True, eq=False)
class RunResults:
    """One run of one model.

    model: its name in tables; dataset: the name of the cases; run: which of several trainings; made: facts that tell
    how it was made (weights_sha256, step, seed), JSON values.
    """

    model: str
    dataset: str
    run: str
    made: dict[str, Any]
    scores: tuple[CaseScore, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values: cases first, then the figures that follow from them."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "dataset": self.dataset,
            "run": self.run,
            "made": self.made,
            "curve_thresholds": CURVE_THRESHOLDS.tolist(),
            "froc_thresholds": list(FROC_THRESHOLDS),
            "cases": [_case_to_json(score) for score in self.scores],
            "summary": summarise(self.scores).to_json(),
            "by_institution": {name: part.to_json() for name, part in by_institution(self.scores).items()},
        }


def save_results(path: Path, results: RunResults) -> None:
    """Writes the file whole. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, (json.dumps(results.to_json(), indent=1) + "\n").encode())


def load_results(path: Path) -> RunResults:
    """What `save_results` wrote. Raises ResultsError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT or document["version"] != VERSION:
            raise ValueError(f"format {document['format']!r}, version {document['version']!r}")
        scores = tuple(_case_from_json(case) for case in document["cases"])
        return RunResults(document["model"], document["dataset"], document["run"], document["made"], scores)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ResultsError(
            f"{path}: it cannot be read as results ({type(problem).__name__}: {problem}). "
            "Give a file that `glianet-training evaluate --output` or `score --output` wrote"
        ) from problem


def _case_to_json(score: CaseScore) -> dict[str, Any]:
    return score.to_json() | {
        "histograms": {
            "positive": score.histograms.positive.tolist(),
            "negative": score.histograms.negative.tolist(),
        },
        "froc": [list(point) for point in score.froc],
        "true_targets": [_target_to_json(target) for target in score.targets.true],
        "predicted_targets": [_target_to_json(target) for target in score.targets.predicted],
    }


def _case_from_json(case: dict[str, Any]) -> CaseScore:
    z, y, x = (float(value) for value in case["spacing_mm"])
    counted = case["histograms"]
    return CaseScore(
        name=case["case"],
        institution=case["institution"],
        spacing_mm=(z, y, x),
        voxels=VoxelCounts(case["tp"], case["fp"], case["fn"], case["tn"]),
        histograms=VoxelHistograms(_counts(counted["positive"]), _counts(counted["negative"])),
        hd95_mm=case["hd95_mm"],
        targets=TargetMatches(_targets(case["true_targets"]), _targets(case["predicted_targets"])),
        froc=tuple((int(tp), int(fp)) for tp, fp in case["froc"]),
    )


def _counts(values: Sequence[int]) -> np.ndarray:
    counts = np.array(values, np.int64)
    if counts.shape != (len(CURVE_THRESHOLDS) + 1,):
        raise ValueError(f"a histogram has {counts.shape} entries")
    return counts


def _target_to_json(target: Target) -> dict[str, Any]:
    return {
        "centre_voxel": list(target.centre),
        "voxels": target.voxels,
        "score": target.score,
        "matched": target.matched,
    }


def _targets(values: Sequence[dict[str, Any]]) -> tuple[Target, ...]:
    return tuple(
        Target(
            (float(one["centre_voxel"][0]), float(one["centre_voxel"][1]), float(one["centre_voxel"][2])),
            int(one["voxels"]),
            float(one["score"]),
            bool(one["matched"]),
        )
        for one in values
    )
