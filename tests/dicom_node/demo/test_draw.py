"""The pictures show the lesion where it is, with the letters of the right directions."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from dicom_node.demo.archive_client import Candidate
from dicom_node.demo.draw import OUTLINE, _box, _draw, _mask
from dicom_node.demo.run_node import DemoFailed
from glianet.volume import Volume

SPACING = (0.6, 0.5, 0.4)  # D, H, W in mm


@pytest.fixture
def volume() -> Volume:
    affine = np.array([[0, 0, 0.4, -20], [0, 0.5, 0, -30], [0.6, 0, 0, 100], [0, 0, 0, 1]], dtype=np.float64)
    return Volume(np.full((40, 60, 50), 40, dtype=np.int16), affine)


def candidate_at(volume: Volume, voxels: list[tuple[int, int, int]]) -> Candidate:
    indices = np.c_[np.array(voxels, dtype=float), np.ones(len(voxels))]
    points = (indices @ volume.affine.T)[:, :3]
    return Candidate(1, "Aneurysm candidate 1", points, 0.12 * len(voxels), 1.0, 75.0)


def test_mask_lies_where_the_points_are(volume: Volume) -> None:
    voxels = [(10, 20, 30), (10, 20, 31), (11, 20, 30)]
    mask = _mask(volume, candidate_at(volume, voxels))
    assert [tuple(index) for index in np.argwhere(mask)] == voxels


def test_a_lesion_outside_the_series_is_an_error(volume: Volume) -> None:
    with pytest.raises(DemoFailed, match="outside"):
        _mask(volume, candidate_at(volume, [(40, 0, 0)]))


def test_slab_and_field_in_voxels(volume: Volume) -> None:
    """11 voxels along the view, 30 mm to each side along the others, cut off at the ends."""
    assert _box(volume, (20, 30, 25), 0) == (slice(15, 26), slice(0, 60), slice(0, 50))
    assert _box(volume, (3, 30, 25), 0)[0] == slice(0, 9)


def test_picture_shows_the_outline_in_three_views(volume: Volume, tmp_path: Path) -> None:
    voxels = [(k, j, i) for k in range(18, 24) for j in range(28, 34) for i in range(22, 28)]
    file = _draw(volume, candidate_at(volume, voxels), tmp_path / "lesion.png")
    pixels = imread(file)[..., :3]
    wanted = np.array([int(OUTLINE[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    coloured = (np.abs(pixels - wanted) < 0.1).all(axis=-1)
    thirds = np.array_split(coloured, 3, axis=1)
    assert all(third.sum() > 20 for third in thirds)
