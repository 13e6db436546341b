"""Readings against labels, by hand."""

from pathlib import Path

import pytest

from glianet.nifti import write_nifti
from tests.training.readers.made_cases import AFFINE, FIRST, FIRST_MM, SECOND_MM, cube, made_cases
from training.manifest import ManifestCase
from training.metrics.voxels import VoxelCounts
from training.readers.readings import Found, Reading, ReadingsError
from training.readers.scores import reader_figures, score_readings

VOXELS = 20 * 30 * 40


def _reading(case: str, findings: tuple[Found, ...] | None, mask: Path | None = None, seconds: float = 60) -> Reading:
    return Reading("r", "resident", "A", case, False, seconds, findings, mask)


def _shifted(centre: tuple[float, float, float], voxels: float) -> tuple[float, float, float]:
    """Along the columns, of 0.5 mm."""
    x, y, z = centre
    return x + 0.5 * voxels, y, z


def _counts(cases: tuple[ManifestCase, ...], *findings: Found) -> tuple[int, int, int]:
    (scored,) = score_readings([_reading("two", findings)], cases)
    return scored.targets.tp, scored.targets.fp, scored.targets.fn


def test_a_point_matches_within_the_radius(tmp_path: Path) -> None:
    cases = made_cases(tmp_path)
    assert _counts(cases, Found(FIRST_MM), Found(SECOND_MM)) == (2, 0, 0)
    assert _counts(cases, Found(_shifted(FIRST_MM, 3.0))) == (1, 0, 1)  # radius 0.62 * 125^(1/3) = 3.1
    assert _counts(cases, Found(_shifted(FIRST_MM, 3.2))) == (0, 1, 2)


def test_a_diameter_adds_its_radius(tmp_path: Path) -> None:
    # A ball of 3 mm has 14.14 mm3, 57 voxels of 0.25 mm3: radius 0.62 * 57^(1/3) = 2.39 voxels, with 3.1 together 5.49.
    cases = made_cases(tmp_path)
    assert _counts(cases, Found(_shifted(FIRST_MM, 5.4), 3.0)) == (1, 0, 1)
    assert _counts(cases, Found(_shifted(FIRST_MM, 5.6), 3.0)) == (0, 1, 2)


def test_a_mask_is_counted(tmp_path: Path) -> None:
    cases, mask = made_cases(tmp_path), tmp_path / "mask.nii.gz"
    k, j, i = FIRST
    write_nifti(mask, cube((k, j, i + 1)), AFFINE)
    (scored,) = score_readings([_reading("two", None, mask)], cases)
    assert scored.voxels == VoxelCounts(100, 25, 150, VOXELS - 275)
    assert (scored.targets.tp, scored.targets.fp, scored.targets.fn) == (1, 0, 1)


def test_figures_of_a_reader(tmp_path: Path) -> None:
    # One of two found and one false positive in "two"; nothing in "none".
    cases, mask = made_cases(tmp_path), tmp_path / "mask.nii.gz"
    write_nifti(mask, cube(FIRST), AFFINE)
    wrong = Found((0.0, -16.0, 35.0))
    readings = [_reading("none", (), seconds=30), _reading("two", (Found(FIRST_MM), wrong), mask, 90)]
    figures = reader_figures(score_readings(readings, cases))
    assert figures == {
        "seconds": 60, "dsc": pytest.approx(2 * 125 / (2 * 125 + 125)), "target_precision": 0.5, "target_recall": 0.5,
        "specificity": 1.0, "sensitivity": 1.0, "accuracy": 1.0,
    }  # fmt: skip


def test_undefined_figures(tmp_path: Path) -> None:
    cases = made_cases(tmp_path)
    quiet = reader_figures(score_readings([_reading("none", ())], cases))
    assert quiet["target_recall"] is None and quiet["target_precision"] is None and quiet["dsc"] is None
    assert quiet["sensitivity"] is None and quiet["specificity"] == 1.0
    pointed = reader_figures(score_readings([_reading("two", (Found(FIRST_MM),))], cases))
    assert pointed["dsc"] is None and pointed["specificity"] is None


def test_every_problem_is_told(tmp_path: Path) -> None:
    cases, other, empty = made_cases(tmp_path), tmp_path / "other.nii.gz", tmp_path / "empty.nii.gz"
    moved = AFFINE.copy()
    moved[2, 3] += 1
    write_nifti(other, cube(FIRST), moved)
    write_nifti(empty, cube(), AFFINE)
    readings = [
        _reading("two", (Found((100.0, 0.0, 35.0)),)),
        _reading("two", None, other),
        _reading("two", (Found(FIRST_MM),), empty),
        _reading("two", None, tmp_path / "absent.nii"),
        _reading("unheard", ()),
        _reading("blank", ()),
    ]
    with pytest.raises(ReadingsError) as refused:
        score_readings(readings, [*cases, ManifestCase("blank", tmp_path / "image.nii", None, "p")])
    found = "\n".join(refused.value.problems)
    assert len(refused.value.problems) == 6
    for words in ("100,0,35 lies outside", "not lie on the grid", "one is empty", "no such file", "list", "no label"):
        assert words in found
