import numpy as np
import pytest

from glianet.errors import VolumeError
from glianet.volume import Volume, index_to_lps

AFFINE = np.array([[0, 0, 0.5, -100], [0, 0.4, 0, -80], [0.75, 0, 0, 30], [0, 0, 0, 1]])


def _volume(hu: object = None, affine: object = AFFINE) -> Volume:
    return Volume(np.zeros((2, 3, 4), np.int16) if hu is None else hu, affine)  # type: ignore[arg-type]


def test_spacing_and_shape_follow_the_axes() -> None:
    assert _volume().shape == (2, 3, 4)
    assert _volume().spacing_mm == (0.75, 0.4, 0.5)
    assert _volume().voxel_mm3 == pytest.approx(0.15)


def test_index_to_lps_of_one_and_of_many_indices() -> None:
    np.testing.assert_allclose(_volume().index_to_lps((1, 2, 3)), (-98.5, -79.2, 30.75))
    np.testing.assert_allclose(
        index_to_lps(AFFINE, [[0, 0, 0], [-0.5, -0.5, -0.5]]), [[-100, -80, 30], [-100.25, -80.2, 29.625]]
    )


def _changed(row: int, column: int, value: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[row, column] = value
    return affine


@pytest.mark.parametrize(
    ("hu", "affine", "message"),
    [
        (np.zeros((2, 3, 4), np.float32), AFFINE, "float32 instead of an int16"),
        ([[[0]]], AFFINE, "list instead of an int16"),
        (np.zeros((3, 4), np.int16), AFFINE, r"shape is \(3, 4\)"),
        (np.zeros((0, 3, 4), np.int16), AFFINE, r"shape is \(0, 3, 4\)"),
        (None, AFFINE.astype(np.float32), "float64"),
        (None, AFFINE[:3], "float64"),
        (None, _changed(0, 3, np.nan), "not finite"),
        (None, _changed(3, 0, 1), "last row"),
        (None, _changed(0, 2, 0), "cannot be inverted"),
    ],
)
def test_what_is_no_volume_is_refused(hu: object, affine: object, message: str) -> None:
    with pytest.raises(VolumeError, match=message) as caught:
        _volume(hu, affine)
    assert not caught.value.retry_helps
