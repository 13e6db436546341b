"""A case on disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from glianet.nifti import read_nifti
from tests.training.made_cases import cube_phantom
from training.write_case import write_case


def test_files_hold_the_phantom(tmp_path: Path) -> None:
    phantom = cube_phantom(seed=9)
    write_case(tmp_path / "case", phantom)
    image, labels = (
        read_nifti(tmp_path / "case" / "image.nii.gz"),
        read_nifti(tmp_path / "case" / "labels.nii.gz"),
    )
    assert np.array_equal(image.hu, phantom.hu)
    assert np.array_equal(labels.hu, phantom.labels)
    assert image.affine == pytest.approx(phantom.affine, abs=1e-4)
    truth = json.loads((tmp_path / "case" / "truth.json").read_text())
    assert truth["seed"] == 9
    assert truth["aneurysms"] == [
        {"number": 1, "centre_lps_mm": [10.0, -5.0, -10.0], "diameter_mm": 3.9, "volume_mm3": 31.25}
    ]
