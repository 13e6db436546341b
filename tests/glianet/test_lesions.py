"""Expected sizes are worked out by hand: vertices of the mesh lie half a voxel outside the outermost centres."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from glianet import __version__
from glianet.errors import SettingsError, VolumeError
from glianet.findings import Findings
from glianet.lesions import LesionSettings, find_lesions, maximum_diameter_mm
from glianet.scores import RiskGrid, Scores
from glianet.volume import Volume

EVERYTHING = LesionSettings(minimum_volume_mm3=0, minimum_voxels=0)
UNIT = np.eye(4)
THICK_SLICES = np.diag([2.0, 0.5, 1.0, 1.0])


def _rotated(affine: np.ndarray) -> np.ndarray:
    """The same grid, turned by 30 degrees about z and 50 about x, and moved."""
    a, b = np.deg2rad((30, 50))
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turned = affine.copy()
    turned[:3, :3] = about_z @ about_x @ affine[:3, :3]
    turned[:3, 3] = (10, -20, 30)
    return turned


def _find(
    probability: np.ndarray,
    affine: np.ndarray = UNIT,
    settings: LesionSettings = EVERYTHING,
    risk: float = 0.25,
) -> Findings:
    scores = Scores(
        probability=probability.astype(np.float32),
        risk=RiskGrid(np.full((1, 1, 1), risk, np.float32), ((0,), (0,), (0,))),
        fine_risk=None,
        step=48,
        exact=True,
        threshold=None,
        patches_computed=1,
        patches_skipped=0,
    )
    return find_lesions(scores, Volume(np.zeros(probability.shape, np.int16), affine), settings, "ab" * 32)


def _blank(shape: tuple[int, int, int] = (20, 21, 22)) -> np.ndarray:
    return np.zeros(shape, np.float32)


def test_every_measurement_of_a_box() -> None:
    """3 x 3 x 3 voxels of 2 x 0.5 x 1 mm. Farthest vertices: 3 * 2 apart along k, 2 * 0.5 along j, 2 * 1 along i."""
    probability = _blank()
    probability[4:7, 5:8, 6:9] = 0.75
    probability[5, 6, 8] = 1.0
    findings = _find(probability, THICK_SLICES)
    (lesion,) = findings.lesions
    assert (lesion.number, lesion.voxels) == (1, 27)
    assert lesion.volume_mm3 == pytest.approx(27.0)
    assert lesion.maximum_diameter_mm == pytest.approx(np.sqrt(36 + 1 + 4))
    assert lesion.centre_index == (5, 6, 7)
    assert lesion.centre_lps_mm == pytest.approx((10, 3, 7))
    assert lesion.bounding_box == ((4, 7), (5, 8), (6, 9))
    assert lesion.mean_score == pytest.approx((26 * 0.75 + 1) / 27)
    assert lesion.maximum_score == 1.0
    assert lesion.risk == pytest.approx(0.25)
    assert findings.labels.dtype == np.uint16
    np.testing.assert_array_equal(findings.labels, probability > 0.5)


def test_findings_say_how_they_came_about() -> None:
    findings = _find(_blank(), THICK_SLICES, LesionSettings(threshold=0.3))
    assert (findings.threshold, findings.step, findings.exact, findings.lesions) == (0.3, 48, True, ())
    assert (findings.algorithm_name, findings.algorithm_version) == ("GLIA-Net", __version__)
    assert (findings.weights_sha256, findings.patches_computed, findings.patches_skipped) == ("ab" * 32, 1, 0)
    np.testing.assert_array_equal(findings.affine, THICK_SLICES)
    assert not findings.labels.any() and findings.labels.shape == (20, 21, 22)


def test_a_turned_grid_changes_places_but_no_sizes() -> None:
    probability = _blank()
    probability[4:7, 5:8, 6:9] = 0.75
    affine = _rotated(THICK_SLICES)
    (straight,), (turned,) = _find(probability, THICK_SLICES).lesions, _find(probability, affine).lesions
    assert turned.volume_mm3 == pytest.approx(straight.volume_mm3)
    assert turned.maximum_diameter_mm == pytest.approx(straight.maximum_diameter_mm)
    assert turned.centre_index == straight.centre_index
    assert turned.centre_lps_mm == pytest.approx(tuple(affine[:3, :3] @ (5, 6, 7) + (10, -20, 30)))


@pytest.mark.parametrize(
    ("shape", "squared"),
    [
        ((1, 1, 1), 2.0**2),  # from below to above a slice of 2 mm
        ((1, 5, 1), 2.0**2 + 2.0**2),  # across the slice, between the centres of the 5 rows of 0.5 mm
        ((1, 1, 4), 4.0**2),  # from end to end of the 4 columns of 1 mm
        ((1, 4, 4), 4.0**2 + 1.5**2),  # the same, between the centres of the first and the last row
        ((3, 1, 1), 6.0**2),
    ],
)
def test_diameter_of_small_and_flat_boxes(shape: tuple[int, int, int], squared: float) -> None:
    assert maximum_diameter_mm(np.ones(shape, bool), THICK_SLICES) == pytest.approx(np.sqrt(squared))


def _mesh_vertices(mask: np.ndarray) -> np.ndarray:
    """Midpoints of all pairs of face neighbours of which exactly one is inside, found voxel by voxel."""
    padded = np.pad(mask, 1)
    vertices = []
    for index in np.ndindex(*(length - 1 for length in padded.shape)):
        for axis in range(3):
            neighbour = tuple(index[a] + (a == axis) for a in range(3))
            if padded[index] != padded[neighbour]:
                vertices.append((np.array(index) + neighbour) / 2)
    return np.array(vertices)


@pytest.mark.parametrize("affine", [UNIT, THICK_SLICES, _rotated(THICK_SLICES)])
def test_diameter_is_the_largest_distance_of_mesh_vertices(affine: np.ndarray) -> None:
    mask = np.random.default_rng(3).random((6, 7, 8)) < 0.4
    expected = pdist(_mesh_vertices(mask) @ affine[:3, :3].T).max()
    assert maximum_diameter_mm(mask, affine) == pytest.approx(expected)


def test_a_ball_has_its_own_volume_and_diameter() -> None:
    """Radius 5 mm at 0.5 mm: 523.6 mm3; the voxel staircase reaches at most half a voxel's diagonal further."""
    z, y, x = np.ogrid[:32, :32, :32]
    ball = (z - 15.7) ** 2 + (y - 16.1) ** 2 + (x - 15.9) ** 2 <= 10**2
    (lesion,) = _find(ball * 0.9, np.diag([0.5, 0.5, 0.5, 1])).lesions
    assert lesion.volume_mm3 == pytest.approx(523.6, rel=0.01)
    assert lesion.maximum_diameter_mm == pytest.approx(10.0, abs=0.5)
    assert lesion.centre_index == (16, 16, 16)


def test_the_centre_lies_inside_a_hollow_lesion() -> None:
    """A ring of 5 x 5 with a hole of 3 x 3: the centroid is the hole's middle, the first nearest voxel above it."""
    probability = _blank()
    probability[3, 4:9, 4:9] = 0.9
    probability[3, 5:8, 5:8] = 0
    (lesion,) = _find(probability).lesions
    assert lesion.centre_index == (3, 4, 6)
    assert lesion.voxels == 16


def test_the_most_certain_lesion_comes_first_then_the_larger_then_the_lower() -> None:
    probability = _blank()
    probability[1, 1, 1:3] = 0.8
    probability[1, 5, 1:4] = 0.8
    probability[5, 1, 1] = 0.9
    probability[9, 9, 1:3] = 0.8
    findings = _find(probability)
    assert [lesion.bounding_box[:2] for lesion in findings.lesions] == [
        ((5, 6), (1, 2)),
        ((1, 2), (5, 6)),
        ((1, 2), (1, 2)),
        ((9, 10), (9, 10)),
    ]
    assert [lesion.number for lesion in findings.lesions] == [1, 2, 3, 4]
    assert [findings.labels[lesion.centre_index] for lesion in findings.lesions] == [1, 2, 3, 4]


def test_voxels_that_touch_at_a_corner_are_one_lesion() -> None:
    probability = _blank()
    probability[3, 3, 3] = probability[4, 4, 4] = 0.9
    assert len(_find(probability).lesions) == 1
    probability[4, 4, 4], probability[3, 3, 5] = 0, 0.9
    assert len(_find(probability).lesions) == 2


def test_neighbouring_boxes_that_overlap_keep_their_own_voxels() -> None:
    probability = _blank()
    probability[3, 3, 3:10] = probability[3:10, 3, 3] = 0.9
    probability[6:9, 3, 6:9] = 0.8
    findings = _find(probability)
    assert [lesion.voxels for lesion in findings.lesions] == [13, 9]
    assert np.bincount(findings.labels.ravel())[1:].tolist() == [13, 9]


def test_lesions_in_the_corners_of_the_volume() -> None:
    """Two voxels in each of two opposite corners: the box of what is above the threshold is the whole volume."""
    probability = _blank()
    probability[0, 0, :2] = 0.9
    probability[19, 19:, 21] = 0.8
    findings = _find(probability)
    assert [lesion.bounding_box for lesion in findings.lesions] == [
        ((0, 1), (0, 1), (0, 2)),
        ((19, 20), (19, 21), (21, 22)),
    ]
    assert np.argwhere(findings.labels).tolist() == [[0, 0, 0], [0, 0, 1], [19, 19, 21], [19, 20, 21]]


def test_a_score_that_is_no_number_hides_nothing() -> None:
    probability = _blank()
    probability[3, 3, 3:6] = 0.9
    probability[3, 9, 9] = np.nan
    assert [lesion.bounding_box for lesion in _find(probability).lesions] == [((3, 4), (3, 4), (3, 6))]


def test_only_scores_strictly_above_the_threshold_count() -> None:
    probability = _blank()
    probability[3, 3, 3:6] = 0.5
    probability[3, 3, 6] = np.nextafter(np.float32(0.5), np.float32(1))
    assert [lesion.voxels for lesion in _find(probability).lesions] == [1]


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        (LesionSettings(minimum_volume_mm3=0, minimum_voxels=6), 2),
        (LesionSettings(minimum_volume_mm3=0, minimum_voxels=7), 1),
        (LesionSettings(minimum_volume_mm3=6.0, minimum_voxels=0), 2),
        (LesionSettings(minimum_volume_mm3=6.01, minimum_voxels=0), 1),
        (LesionSettings(), 1),
        (LesionSettings(minimum_volume_mm3=100), 0),
    ],
)
def test_small_components_are_dropped(settings: LesionSettings, kept: int) -> None:
    """6 and 12 voxels of 1 mm3."""
    probability = _blank()
    probability[3, 3, 3:9] = 0.9
    probability[9, 9, 3:15] = 0.9
    findings = _find(probability, settings=settings)
    assert len(findings.lesions) == kept
    assert findings.labels.max() == kept


@pytest.mark.parametrize(
    ("certain", "sizes", "kept"),
    [
        (4, {"minimum_voxels": 4}, True),
        (3, {"minimum_voxels": 4}, False),
        (4, {"minimum_volume_mm3": 4.0}, True),
        (4, {"minimum_volume_mm3": 4.01}, False),
    ],
)
def test_a_lesion_is_shown_whole_where_enough_of_it_is_above_the_detection_threshold(
    certain: int, sizes: dict[str, float], kept: bool
) -> None:
    """9 voxels of 1 mm3 above 0.5, of which some, in two pieces, are above 0.8; 8 beside them are exactly 0.8."""
    probability = _blank()
    probability[3, 3, 3:12] = 0.6
    probability[3, 3, 3] = 0.9
    probability[3, 3, 12 - (certain - 1) : 12] = 0.9
    probability[9, 9, 3:11] = 0.8
    rules = {"minimum_volume_mm3": 0.0, "minimum_voxels": 0, **sizes}
    settings = LesionSettings(0.5, float(np.float32(0.8)), rules["minimum_volume_mm3"], int(rules["minimum_voxels"]))
    findings = _find(probability, settings=settings)
    assert findings.detection_threshold == settings.detection_threshold
    assert [(lesion.voxels, lesion.bounding_box) for lesion in findings.lesions] == (
        [(9, ((3, 4), (3, 4), (3, 12)))] if kept else []
    )
    assert np.count_nonzero(findings.labels) == (9 if kept else 0)


def test_a_lesion_may_fill_the_volume() -> None:
    (lesion,) = _find(np.full((4, 4, 4), 0.9)).lesions
    assert lesion.bounding_box == ((0, 4), (0, 4), (0, 4))
    assert lesion.maximum_diameter_mm == pytest.approx(np.sqrt(16 + 9 + 9))


def test_scores_of_another_shape_are_refused() -> None:
    risk = RiskGrid(np.zeros((1, 1, 1), np.float32), ((0,), (0,), (0,)))
    scores = Scores(np.zeros((4, 4, 4), np.float32), risk, None, 48, True, None, 1, 0)
    with pytest.raises(VolumeError, match=r"\(4, 4, 4\), the volume \(4, 4, 5\)"):
        find_lesions(scores, Volume(np.zeros((4, 4, 5), np.int16), UNIT))


@pytest.mark.parametrize(
    "values",
    [
        {"threshold": 1.1},
        {"threshold": 0.6},  # above the detection threshold
        {"detection_threshold": 1.1},
        {"threshold": -0.1},
        {"minimum_volume_mm3": -1.0},
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        LesionSettings(**values)  # type: ignore[arg-type]


def test_a_threshold_below_that_of_the_scores_is_refused() -> None:
    """Scores that were made for a threshold of 0.5 hold nothing below it."""
    risk = RiskGrid(np.zeros((1, 1, 1), np.float32), ((0,), (0,), (0,)))
    scores = Scores(np.zeros((4, 4, 4), np.float32), risk, None, 48, False, 0.5, 1, 0)
    volume = Volume(np.zeros((4, 4, 4), np.int16), UNIT)
    assert find_lesions(scores, volume, LesionSettings(threshold=0.6, detection_threshold=0.6)).lesions == ()
    with pytest.raises(SettingsError, match=r"0\.4 is below 0\.5"):
        find_lesions(scores, volume, LesionSettings(threshold=0.4))
