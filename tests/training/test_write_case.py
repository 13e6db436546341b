"""Cases on disk."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glianet.nifti import read_nifti
from training.manifest import read_manifest
from training.phantom import Phantom, PlantedAneurysm
from training.write_case import write_case, write_cases


def _phantom() -> Phantom:
    hu = np.arange(6 * 7 * 8, dtype=np.int16).reshape(6, 7, 8)
    labels = np.zeros(hu.shape, np.uint8)
    labels[2, 3, 4] = 1
    affine = np.array([[0, 0, 0.5, -10], [0, 0.5, 0, -20], [1.0, 0, 0, -30], [0, 0, 0, 1]])
    planted = PlantedAneurysm(1, (-8.0, -18.5, -28.0), 0.8, 0.25)
    return Phantom(hu, labels, affine, (planted,), np.zeros((0, 3), np.float32), 9)


def test_files_hold_the_phantom(tmp_path: Path) -> None:
    phantom = _phantom()
    write_case(tmp_path / "case", phantom)
    image, labels = (read_nifti(tmp_path / "case" / name) for name in ("image.nii.gz", "labels.nii.gz"))
    assert np.array_equal(image.hu, phantom.hu) and np.array_equal(labels.hu, phantom.labels)
    assert image.affine == pytest.approx(phantom.affine, abs=1e-4)
    truth = json.loads((tmp_path / "case" / "truth.json").read_text())
    assert truth["seed"] == 9
    expected = {"number": 1, "centre_lps_mm": [-8.0, -18.5, -28.0], "diameter_mm": 0.8, "volume_mm3": 0.25}
    assert truth["aneurysms"] == [expected]


def test_a_manifest_lists_them(tmp_path: Path) -> None:
    done: list[int] = []
    write_cases(tmp_path, [_phantom(), replace(_phantom(), seed=10)], done.append)
    cases = read_manifest(tmp_path / "manifest.csv")
    assert [case.case for case in cases] == ["phantom-000009", "phantom-000010"] and done == [1, 2]
    assert all(case.image.is_file() and case.label and case.label.is_file() for case in cases)
    assert "phantom-000009/image.nii.gz" in (tmp_path / "manifest.csv").read_text()
