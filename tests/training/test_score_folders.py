"""Predictions made elsewhere, scored by the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.training.metrics.made_masks import SPACING_MM, made_masks
from training.cli import app
from training.manifest import CasesError
from training.nifti import write_grid
from training.results import load_results
from training.score_folders import score_folders

AFFINE = np.array([[0, 0, 0.45, 3], [0, 0.45, 0, -20], [0.6, 0, 0, -30], [0, 0, 0, 1.0]])


def _write(folder: Path, name: str, values: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    folder.mkdir(exist_ok=True)
    write_grid(folder / name, values, affine)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Cases 0 and 1 of the published figures as probabilities."""
    root = tmp_path_factory.mktemp("folders")
    for seed in (0, 1):
        truth, probability = made_masks(seed)
        _write(root / "truth", f"case{seed}.nii.gz", truth.astype(np.uint8))
        _write(root / "found", f"case{seed}.nii.gz", probability.astype(np.float32))
    return root / "truth", root / "found"


def test_the_command_prints_each_case_and_all_together(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """Counts of the published code; pooled: tp 1047, fp 436, fn 2177."""
    truth, found = map(str, folders)
    output = tmp_path / "results.json"
    command = ["score", "--truth", truth, "--prediction", found, "--json", "--output", str(output)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    first, second = document["cases"]
    assert (first["case"], first["tp"], first["fp"], first["fn"], first["tn"]) == ("case0", 715, 398, 1581, 504186)
    assert first["hd95_mm"] == pytest.approx(12.603539117, abs=1e-6)
    assert (second["target_tp"], second["target_fp"], second["target_fn"]) == (2, 2, 1)
    assert first["spacing_mm"] == pytest.approx(SPACING_MM)
    together = document["all"]
    assert together["precision"] == pytest.approx(1047 / 1483) and together["recall"] == pytest.approx(1047 / 3224)
    assert together["dsc"] == pytest.approx(2 * 1047 / (2 * 1047 + 436 + 2177))
    assert together["target_recall"] == pytest.approx(5 / 7) and together["fps_per_case"] == 2
    assert load_results(output).scores[0].voxels.tp == 715


def test_whole_numbers_are_a_mask(folders: tuple[Path, Path], tmp_path: Path) -> None:
    truth, probability = made_masks(0)
    _write(tmp_path / "truth", "a.nii", truth.astype(np.uint8))
    _write(tmp_path / "found", "a.nii.gz", (probability > 0.5).astype(np.uint8) * 7)
    (score,) = score_folders(tmp_path / "truth", tmp_path / "found")
    assert (score.voxels.tp, score.voxels.fp) == (715, 398) and score.targets.tp == 3


def test_missing_and_surplus_predictions_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _write(tmp_path / "found", "case0.nii.gz", np.zeros((4, 4, 4), np.uint8))
    _write(tmp_path / "found", "other.nii.gz", np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(CasesError) as caught:
        list(score_folders(folders[0], tmp_path / "found"))
    assert "case1: there is no prediction" in str(caught.value)
    assert "other: there is no truth for this prediction" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "affine", "message"),
    [
        (np.zeros((4, 4, 5), np.float32), AFFINE, "case: 1 problem\n- the truth has shape"),
        (np.full((4, 4, 4), 1.5, np.float32), AFFINE, "probabilities are not all numbers from 0 to 1"),
        (np.zeros((4, 4, 4), np.float32), AFFINE + np.eye(4)[::-1], "lie differently in the patient"),
    ],
)
def test_a_prediction_that_cannot_be_scored_is_told(
    tmp_path: Path, values: np.ndarray, affine: np.ndarray, message: str
) -> None:
    _write(tmp_path / "truth", "case.nii.gz", np.zeros((4, 4, 4), np.uint8))
    _write(tmp_path / "found", "case.nii.gz", values, affine)
    with pytest.raises(CasesError, match=message):
        list(score_folders(tmp_path / "truth", tmp_path / "found"))


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["score", "--truth", str(tmp_path), "--prediction", str(tmp_path)])
    assert result.exit_code == 2 and "it holds no NIfTI file" in result.output
