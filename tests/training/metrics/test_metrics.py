"""Counts, curves, distances and matches against values worked out by hand."""

import numpy as np
import pytest

from glianet.lesions import LesionSettings, find_lesions
from glianet.scores import RiskGrid, Scores
from glianet.volume import Volume
from training.metrics.boxes import box_of, grown
from training.metrics.case_score import FROC_THRESHOLDS, score_case, size_class
from training.metrics.curves import precision_recall_curve, roc_curve
from training.metrics.intervals import over_cases, over_runs
from training.metrics.summary import by_institution, froc_points, froc_score, summarise
from training.metrics.surface import hausdorff_95_mm
from training.metrics.targets import (
    Detection,
    Target,
    close_prediction,
    find_targets,
    match,
    match_targets,
    predicted_mask,
)
from training.metrics.voxels import VoxelCounts, VoxelHistograms, count_voxels

SPACING_MM = (1.0, 0.5, 0.5)


def _box(shape: tuple[int, int, int], *slices: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*one) for one in slices)] = True
    return mask


def test_voxels_are_counted_above_the_threshold() -> None:
    truth = np.array([True, True, False, False, False]).reshape(1, 1, 5)
    probability = np.array([0.9, 0.5, 0.50001, 0.1, 0.0]).reshape(1, 1, 5)
    counts, _ = count_voxels(truth, probability)
    assert (counts.tp, counts.fp, counts.fn, counts.tn) == (1, 1, 1, 2)
    assert (counts.precision, counts.recall, counts.dsc) == (0.5, 0.5, 0.5)


def test_rates_of_nothing_are_undefined() -> None:
    counts, histograms = count_voxels(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 2)))
    assert counts.precision is None and counts.recall is None and counts.dsc is None
    assert roc_curve(histograms) is None and precision_recall_curve(histograms) is None


@pytest.mark.parametrize("value", [-0.1, 1.01, np.nan])
def test_what_is_no_probability_is_refused(value: float) -> None:
    probability = np.full((40, 2, 2), 0.5)
    probability[39, 1, 1] = value
    with pytest.raises(ValueError, match="not all numbers from 0 to 1"):
        count_voxels(np.zeros((40, 2, 2), bool), probability)


def test_a_perfect_score_has_an_area_of_one_and_a_useless_one_of_a_half() -> None:
    truth = np.arange(10) < 4
    _, perfect = count_voxels(truth.reshape(1, 1, -1), np.where(truth, 1.0, 0.0).reshape(1, 1, -1))
    _, useless = count_voxels(truth.reshape(1, 1, -1), np.full((1, 1, 10), 0.3))
    for histograms, auc in ((perfect, 1.0), (useless, 0.5)):
        curve = roc_curve(histograms)
        assert curve is not None and curve.area == pytest.approx(auc)
    curve = precision_recall_curve(perfect)
    assert curve is not None and curve.area == pytest.approx(1.0)


def test_histograms_add_up() -> None:
    rng = np.random.default_rng(1)
    truth, probability = rng.random((6, 5, 5)) < 0.2, rng.random((6, 5, 5))
    _, whole = count_voxels(truth, probability)
    parts = [count_voxels(truth[part], probability[part])[1] for part in (slice(0, 2), slice(2, 6))]
    together: VoxelHistograms = parts[0] + parts[1]
    np.testing.assert_array_equal(together.positive, whole.positive)
    np.testing.assert_array_equal(together.negative, whole.negative)
    assert whole.positive.sum() == truth.sum()


def test_distance_between_two_boxes_is_that_of_their_faces() -> None:
    """The same box, two rows further: every voxel of the two faces' rows is 1 mm away or less; 95 % are below 1 mm."""
    one = _box((8, 20, 20), (2, 6), (4, 8), (4, 8))
    other = _box((8, 20, 20), (2, 6), (6, 10), (4, 8))
    distance = hausdorff_95_mm(one, other, SPACING_MM)
    assert distance == pytest.approx(1.0, abs=1e-6)
    assert hausdorff_95_mm(one, one, SPACING_MM) == pytest.approx(0.0, abs=1e-6)
    assert hausdorff_95_mm(one, np.zeros_like(one), SPACING_MM) is None


def test_targets_match_where_the_centres_lie_closer_than_the_radii() -> None:
    """27 voxels: radius 0.62 * 3 = 1.86; together 3.72."""
    true = [Target((10.0, 10.0, 10.0), 27, 1.0)]
    near, far = Target((10.0, 10.0, 13.7), 27, 0.9), Target((10.0, 13.8, 10.0), 27, 0.8)
    matches = match(true, [near, far])
    assert (matches.tp, matches.fp, matches.fn) == (1, 1, 0)
    assert [target.matched for target in matches.predicted] == [True, False]


def test_one_prediction_over_two_targets_finds_both() -> None:
    true = [Target((0.0, 0.0, 0.0), 27, 1.0), Target((0.0, 0.0, 4.0), 27, 1.0)]
    matches = match(true, [Target((0.0, 0.0, 2.0), 100, 0.9)])
    assert (matches.tp, matches.fp, matches.fn) == (2, 0, 0)
    assert match(true, []).fn == 2 and match([], true).fp == 2


def test_components_of_ten_voxels_are_dropped_and_of_eleven_kept() -> None:
    mask = _box((4, 8, 30), (1, 2), (1, 2), (0, 10)) | _box((4, 8, 30), (1, 2), (4, 5), (2, 13))
    (target,) = find_targets(mask)
    assert target.voxels == 11 and target.centre == (1.0, 4.0, 7.0)


def test_a_prediction_in_pieces_is_closed_to_one() -> None:
    """Two bars six voxels apart, which a cube of seven joins; eight apart, it does not."""
    for gap, pieces in ((6, 1), (8, 2)):
        mask = _box((9, 9, 40), (3, 6), (3, 6), (8, 12)) | _box((9, 9, 40), (3, 6), (3, 6), (12 + gap, 16 + gap))
        assert len(find_targets(close_prediction(mask))) == pieces


def test_the_closing_is_that_of_scipy_with_nothing_outside() -> None:
    from scipy import ndimage

    rng = np.random.default_rng(4)
    mask = rng.random((20, 22, 24)) < 0.01
    np.testing.assert_array_equal(close_prediction(mask), ndimage.binary_closing(mask, np.ones((7, 7, 7))))


def _candidates() -> tuple[np.ndarray, np.ndarray]:
    """Truth, a bar of 40 voxels, and probabilities: of 44 voxels around it 20 are certain, of 60 elsewhere 19 are."""
    shape = (12, 12, 40)
    truth = _box(shape, (4, 6), (4, 6), (4, 14))
    probability = np.zeros(shape)
    probability[4:6, 4:6, 4:15] = 0.6
    probability[4:6, 4:6, 4:9] = 0.9
    probability[4:6, 4:6, 22:37] = 0.7
    probability[4:6, 4, 22:31] = 0.9
    probability[4, 5, 36] = 0.9
    return truth, probability


def test_a_prediction_counts_whole_where_the_node_shows_it() -> None:
    """5 mm3 are 20 voxels of 0.25 mm3; of large voxels 11 are needed."""
    truth, probability = _candidates()
    node = Detection.of_node(0.8, SPACING_MM)
    assert node == Detection(0.8, 20)
    assert Detection.of_node(0.8, (1.0, 1.0, 1.0)) == Detection(0.8, 11)
    assert Detection.of_node(None, SPACING_MM) is None
    assert [target.voxels for target in match_targets(truth, probability, 0.5).predicted] == [44, 60]
    matches = match_targets(truth, probability, 0.5, node)
    assert [target.voxels for target in matches.predicted] == [44] and (matches.tp, matches.fp) == (1, 0)
    assert match_targets(truth, probability, 0.5, Detection(0.8, 19)).fp == 1
    assert match_targets(truth, probability, 0.5, Detection(0.9, 1)).predicted == ()  # none is strictly above
    assert not predicted_mask(np.zeros((3, 3, 3)), 0.5, node).any()


def test_what_counts_as_shown_is_what_the_node_finds() -> None:
    truth, probability = _candidates()
    affine = np.diag([0.5, 0.5, 1.0, 1.0])
    risk = RiskGrid(np.zeros((1, 1, 1), np.float32), ((0,), (0,), (0,)))
    scores = Scores(probability.astype(np.float32), risk, None, 48, True, None, 1, 0)
    for threshold in (0.5, 0.65, 0.8):
        findings = find_lesions(scores, Volume(np.zeros(truth.shape, np.int16), affine), LesionSettings(0.5, threshold))
        shown = predicted_mask(probability, 0.5, Detection.of_node(threshold, SPACING_MM))
        np.testing.assert_array_equal(shown, findings.labels > 0)


def test_a_case_scored_with_a_detection_threshold_counts_what_the_node_shows() -> None:
    truth, probability = _candidates()
    plain, shown = (score_case(truth, probability, SPACING_MM, detection_threshold=level) for level in (None, 0.8))
    assert (plain.targets.fp, shown.targets.fp) == (1, 0)
    assert (plain.voxels.tp, plain.voxels.fp, plain.voxels.fn) == (40, 64, 0)
    assert shown.voxels == VoxelCounts(40, 4, 0, truth.size - 44)
    at = dict(zip(FROC_THRESHOLDS, shown.froc, strict=True))
    assert (at[0.3], at[0.5], at[0.6], at[0.7], at[0.8], at[0.9]) == ((1, 1), (1, 1), (1, 1), (1, 0), (1, 0), (0, 0))
    np.testing.assert_array_equal(plain.histograms.negative, shown.histograms.negative)


def test_a_targets_score_is_its_highest_probability() -> None:
    probability = np.zeros((12, 12, 12))
    probability[5:7, 4:7, 4:7] = 0.6
    probability[5, 5, 5] = 0.93
    matches = match_targets(probability > 0.5, probability, 0.5)
    assert [target.score for target in matches.predicted] == [0.93] and matches.tp == 1


def test_sizes_fall_into_the_papers_classes() -> None:
    assert [size_class(size) for size in (2.99, 3.0, 7.0, 7.01)] == [0, 1, 1, 2]
    assert Target((0, 0, 0), 1000, 1.0).diameter_mm(0.125) == pytest.approx(2 * (3 * 125 / (4 * np.pi)) ** (1 / 3))


def _cases() -> list:
    """One found and one false positive; one missed; one case without either; one with a false positive alone."""
    shape = (12, 30, 30)
    ball, wrong = _box(shape, (4, 8), (4, 8), (4, 8)), _box(shape, (4, 8), (20, 24), (20, 24))
    nothing = np.zeros(shape, bool)
    pairs = [(ball, ball | wrong, "a"), (ball, nothing, "b"), (nothing, nothing, "b"), (nothing, wrong, "a")]
    return [
        score_case(truth, found.astype(float), SPACING_MM, str(number), place)
        for number, (truth, found, place) in enumerate(pairs)
    ]


def test_the_summary_pools_targets_and_counts_cases() -> None:
    summary = summarise(_cases())
    assert (summary.target_tp, summary.target_fp, summary.target_fn) == (1, 2, 1)
    assert (summary.target_recall, summary.fps_per_case, summary.target_precision) == (0.5, 0.5, pytest.approx(1 / 3))
    assert (summary.sensitivity, summary.specificity, summary.accuracy) == (0.5, 0.5, 0.5)
    assert summary.recall == 0.5 and summary.precision == pytest.approx(64 / 192)
    size = summary.by_size["3-7 mm"]  # 64 voxels of 0.25 mm3: 3.1 mm across
    assert (size.targets, size.found, size.recall, size.fps_per_case) == (2, 1, 0.5, 0.5)
    assert summary.by_size[">7 mm"].recall is None


def test_institutions_are_summed_up_apart() -> None:
    parts = by_institution(_cases())
    assert list(parts) == ["a", "b"] and (parts["a"].target_tp, parts["b"].target_tp) == (1, 0)


def test_the_free_response_curve_counts_at_each_threshold() -> None:
    for _, recall, fps in froc_points(_cases()):
        assert (recall, fps) == (0.5, 0.5)  # scores are 0 or 1


def test_the_froc_score_is_the_mean_of_the_best_recalls_below_each_limit() -> None:
    """Limits 0.25, 0.5, 1, 2, 4 false positives: none, none, 0.5, 0.5, 0.75."""
    points = [(0.1, 0.9, 5.0), (0.3, 0.75, 4.0), (0.5, 0.5, 1.0), (0.9, 0.25, 1.0)]
    assert froc_score(points) == pytest.approx((0 + 0 + 0.5 + 0.5 + 0.75) / 5)
    assert froc_score([(0.5, None, 0.0)]) is None


def test_one_component_that_holds_the_whole_head_earns_no_froc_score() -> None:
    """At 0.05 its radius reaches every aneurysm; between that and nothing at all lie hundreds of false positives."""
    points = [(0.05, 1.0, 0.2), (0.1, 0.5, 211.0), (0.2, 0.25, 3.0), (0.3, 0.0, 0.0)]
    assert froc_score(points) == pytest.approx(0.25 / 5)


def test_intervals_over_runs_are_students() -> None:
    """1, 2, 3: mean 2, s 1, t(0.975, 2) = 4.302653, half width 4.302653 / sqrt(3) = 2.484."""
    interval = over_runs([1.0, 2.0, 3.0])
    assert (interval.value, interval.low, interval.high) == (
        2.0,
        pytest.approx(2 - 2.484138, abs=1e-5),
        pytest.approx(2 + 2.484138, abs=1e-5),
    )
    assert over_runs([0.7]).low is None


def test_the_bootstrap_of_cases_that_are_alike_has_no_width() -> None:
    cases = [_cases()[0]] * 5
    interval = over_cases(lambda scores: summarise(scores).target_recall, cases, resamples=20)
    assert interval is not None and (interval.low, interval.value, interval.high) == (1.0, 1.0, 1.0)
    again = over_cases(lambda scores: summarise(scores).target_recall, _cases(), resamples=50)
    assert again == over_cases(lambda scores: summarise(scores).target_recall, _cases(), resamples=50)
    assert over_cases(lambda scores: None, cases) is None


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="truth has shape"):
        score_case(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3)), SPACING_MM)


def test_boxes() -> None:
    mask = _box((5, 6, 7), (1, 3), (2, 4), (6, 7))
    assert box_of(mask) == (slice(1, 3), slice(2, 4), slice(6, 7)) and box_of(np.zeros((2, 2), bool)) is None
    assert grown((slice(1, 3), slice(2, 4), slice(6, 7)), 2, (5, 6, 7)) == (slice(0, 5), slice(0, 6), slice(4, 7))
