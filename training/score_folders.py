"""Scores predictions that were made elsewhere: two folders with NIfTI files of the same names."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from glianet.errors import GliaNetError
from training.manifest import CasesError
from training.metrics.case_score import CaseScore, score_case
from training.nifti import Grid, read_grid

ENDINGS = (".nii.gz", ".nii")
AFFINE_TOLERANCE_MM = 1e-3


def score_folders(truth: Path, prediction: Path) -> Iterator[CaseScore]:
    """The score of each case in the order of the names, as it is done.

    A prediction of whole numbers is a mask, in which everything but 0 is found; one of other numbers is a probability
    from 0 to 1. Raises CasesError where a prediction is missing, belongs to no truth, cannot be read, lies elsewhere or
    is no probability.
    """
    names = _names(truth, prediction)
    for name, (true_file, predicted_file) in names.items():
        try:
            yield _score(name, read_grid(true_file), read_grid(predicted_file))
        except (GliaNetError, ValueError) as problem:
            raise CasesError(name, [str(problem)]) from problem


def count_cases(truth: Path) -> int:
    """How many there are."""
    return len(_images(truth))


def _names(truth: Path, prediction: Path) -> dict[str, tuple[Path, Path]]:
    true, predicted = _images(truth), _images(prediction)
    problems = [f"{name}: there is no prediction of it in {prediction}" for name in true if name not in predicted]
    problems += [f"{name}: there is no truth for this prediction in {truth}" for name in predicted if name not in true]
    if not true:
        problems.append("it holds no NIfTI file (.nii, .nii.gz)")
    if problems:
        raise CasesError(truth, problems)
    return {name: (true[name], predicted[name]) for name in sorted(true)}


def _images(folder: Path) -> dict[str, Path]:
    """Name without ending -> file."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        ending = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), None)
        if ending:
            found[path.name[: -len(ending)]] = path
    return found


def _score(name: str, truth: Grid, predicted: Grid) -> CaseScore:
    if truth.values.shape != predicted.values.shape:
        raise ValueError(f"the truth has shape {truth.values.shape}, the prediction {predicted.values.shape}")
    if not np.allclose(truth.affine, predicted.affine, atol=AFFINE_TOLERANCE_MM):
        raise ValueError("truth and prediction lie differently in the patient; resample the prediction")
    values = predicted.values
    if np.issubdtype(values.dtype, np.integer):
        values = (values != 0).astype(np.float32)
    return score_case(truth.values != 0, values, truth.spacing_mm, name)  # type: ignore[arg-type]
