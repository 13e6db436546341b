"""Scores of whole volumes: those of the published network, whichever patches are left out."""

from importlib.metadata import version
from itertools import product

import numpy as np
import pytest
import torch

from glianet.engine import EngineSettings, score_volume
from glianet.global_volume import resample_global
from glianet.lesions import find_lesions
from glianet.load_model import load_model
from glianet.model import ComputeSettings, prepare_model
from glianet.network import GLIANet
from glianet.scores import Scores
from glianet.segmenters import openvino_precisions
from glianet.tiling import global_box, patch_starts
from glianet.volume import Volume
from glianet.windows import to_channels
from tests.glianet.formulas import brightness_model, formula_volume, reference, volume_of

AGREEMENT = 1e-4
BACKENDS = ["torch", *(["openvino"] if openvino_precisions() else [])]
EXACT = EngineSettings(exact=True)


def _risk_map(scores: Scores) -> np.ndarray:
    return scores.risk.to_map(scores.shape)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["vol0", "vol1"])
def test_agrees_with_the_published_network_over_a_whole_volume(
    network: GLIANet, name: str, backend: str
) -> None:
    hu = formula_volume(tuple(reference()[f"{name}_shape"].tolist()), int(reference()[f"{name}_seed"]))
    model = prepare_model([network], ComputeSettings("cpu", backend, "float32"))
    scores = score_volume(volume_of(hu), model, EngineSettings(step=int(reference()[f"{name}_step"])))
    kept = (slice(2, None, 6),) * 3
    np.testing.assert_allclose(scores.probability[kept], reference()[f"{name}_prob"], rtol=0, atol=AGREEMENT)
    np.testing.assert_allclose(_risk_map(scores)[kept], reference()[f"{name}_risk"], rtol=0, atol=AGREEMENT)
    assert (scores.patches_computed, scores.patches_skipped) == (len(reference()[f"{name}_starts"]), 0)
    assert scores.computation == f"{backend} {version(backend)} float32 on cpu"


def test_probability_is_the_plain_mean_over_patches() -> None:
    hu = formula_volume((130, 100, 150), seed=6)
    model = brightness_model()
    scores = score_volume(volume_of(hu), model, EngineSettings(step=32, exact=True))
    total, count = np.zeros(hu.shape), np.zeros(hu.shape)
    network, segment = model.members[0].network, model.members[0].segment
    with torch.inference_mode():
        features = network.global_features(to_channels(torch.from_numpy(resample_global(hu)[None])))
        for start in product(*(patch_starts(length, 96, 32) for length in hu.shape)):
            window = tuple(slice(first, first + 96) for first in start)
            location, _ = network.localise(features, [global_box(start, hu.shape)])
            total[window] += segment(torch.from_numpy(hu[window][None]), location)[0].numpy()
            count[window] += 1
    np.testing.assert_allclose(scores.probability, total / count, rtol=0, atol=1e-6)


def test_patches_of_air_are_skipped_and_nothing_is_missed() -> None:
    """Head in the middle of 288 columns: with a step of 96 only the middle one of three patches holds tissue.

    The head's own margin reaches into its neighbours, which have no voxel above 0 HU.
    """
    hu = np.full((96, 96, 288), -1000, np.int16)
    hu[:, :, 96:192] = formula_volume((96, 96, 96), seed=7)
    quick, exact = (
        score_volume(volume_of(hu), brightness_model(), EngineSettings(step=96, exact=every_patch))
        for every_patch in (False, True)
    )
    assert (quick.patches_computed, quick.patches_skipped) == (1, 2)
    assert (exact.patches_computed, exact.patches_skipped) == (3, 0)
    assert not quick.probability[:, :, :96].any() and exact.probability[:, :, :96].all()
    np.testing.assert_array_equal(_risk_map(quick), _risk_map(exact))
    found, expected = (find_lesions(scores, volume_of(hu)) for scores in (quick, exact))
    assert found.lesions == expected.lesions and len(found.lesions) > 0
    np.testing.assert_array_equal(found.labels, expected.labels)


def test_patches_outside_the_head_are_skipped_though_they_hold_something_bright() -> None:
    """A rail of 700 HU, 100 columns beside the head, is no part of it: without the rule it would be a finding."""
    hu = np.full((96, 96, 384), -1000, np.int16)
    hu[:, :, :96] = formula_volume((96, 96, 96), seed=7)
    hu[40:46, 40:46, 300:306] = 700
    quick, exact = (
        score_volume(volume_of(hu), brightness_model(), EngineSettings(step=96, exact=every_patch))
        for every_patch in (False, True)
    )
    assert (quick.patches_computed, quick.patches_skipped) == (1, 3)
    np.testing.assert_array_equal(quick.probability[:, :, :96], exact.probability[:, :, :96])
    assert exact.probability[42, 42, 302] > 0.5 and not quick.probability[:, :, 96:].any()


@pytest.mark.parametrize(("step", "threshold"), [(32, 0.5), (48, 0.3), (48, 0.5), (64, 0.8)])
def test_a_threshold_leaves_patches_out_and_changes_no_finding(step: int, threshold: float) -> None:
    hu = formula_volume((130, 160, 200), seed=11)
    whole = score_volume(volume_of(hu), brightness_model(), EngineSettings(step=step))
    quick = score_volume(volume_of(hu), brightness_model(), EngineSettings(step=step, threshold=threshold))
    expected = np.where(whole.probability > threshold, whole.probability, 0)
    assert 0 < np.count_nonzero(expected) < expected.size / 4
    np.testing.assert_array_equal(quick.probability, expected)
    assert quick.patches_computed + quick.patches_skipped == whole.patches_computed + whole.patches_skipped
    assert quick.threshold == threshold and whole.threshold is None


def test_where_nothing_looks_like_an_aneurysm_five_of_eight_patches_are_enough() -> None:
    """A head of 144^3 apart from the volume's edges, step 48: 4 x 4 x 4 patches hold a part of it."""
    hu = np.full((336, 336, 336), -1000, np.int16)
    hu[96:240, 96:240, 96:240] = 40
    all_of_it, settled = (
        score_volume(volume_of(hu), brightness_model(), EngineSettings(threshold=threshold))
        for threshold in (None, 0.5)
    )
    assert all_of_it.patches_computed == 64 and not settled.probability.any()
    assert settled.patches_computed <= 64 * 5 / 8


def test_exact_leaves_nothing_out_whatever_the_threshold() -> None:
    hu = np.full((96, 96, 240), -1000, np.int16)
    scores = score_volume(volume_of(hu), brightness_model(), EngineSettings(threshold=0.5, exact=True))
    assert (scores.patches_computed, scores.patches_skipped, scores.threshold) == (4, 0, None)
    assert scores.probability.all()


def test_a_voxel_above_0_hu_is_tissue_and_0_hu_is_not() -> None:
    hu = np.zeros((96, 96, 192), np.int16)
    hu[0, 0, 0] = 1
    scores = score_volume(volume_of(hu), brightness_model(), EngineSettings(step=96))
    assert (scores.patches_computed, scores.patches_skipped) == (1, 1)


def test_a_volume_of_air_needs_no_patch() -> None:
    seen: list[tuple[int, int]] = []
    hu = np.full((100, 96, 96), -1000, np.int16)
    scores = score_volume(volume_of(hu), brightness_model(), progress=lambda *numbers: seen.append(numbers))
    assert not scores.probability.any()
    assert (scores.patches_computed, scores.patches_skipped, set(seen)) == (0, 2, {(0, 0)})


def test_a_small_volume_gives_what_its_padded_volume_gives() -> None:
    hu = formula_volume((60, 71, 100), seed=8)
    padded = np.full((96, 96, 100), hu.min(), np.int16)
    padded[18:78, 12:83] = hu
    small, large = (score_volume(volume_of(array), brightness_model(), EXACT) for array in (hu, padded))
    assert small.probability.shape == hu.shape and _risk_map(small).shape == hu.shape
    np.testing.assert_array_equal(small.probability, large.probability[18:78, 12:83])
    np.testing.assert_array_equal(_risk_map(small), _risk_map(large)[18:78, 12:83])
    assert small.risk.at((0, 0, 99)) == pytest.approx(float(_risk_map(large)[18, 12, 99]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flip_is_the_mean_with_the_flipped_volume_flipped_back(axis: int) -> None:
    """An even cube, so that mirroring the volume mirrors the windows: box and patch have to be mirrored alike."""
    hu = formula_volume((144, 144, 144), seed=12)
    plain, mirrored = (
        score_volume(volume_of(array), brightness_model(), EXACT)
        for array in (hu, np.ascontiguousarray(np.flip(hu, axis)))
    )
    both = score_volume(volume_of(hu), brightness_model(flips=((), (axis,))), EXACT)
    expected = (plain.probability + np.flip(mirrored.probability, axis)) / 2
    np.testing.assert_allclose(both.probability, expected, rtol=0, atol=1e-5)
    risk = (plain.risk.values + np.flip(mirrored.risk.values, axis)) / 2
    np.testing.assert_allclose(both.risk.values, risk, rtol=0, atol=1e-5)
    assert np.abs(plain.probability - expected).max() > 1e-3


def test_an_ensemble_of_equals_is_the_one() -> None:
    hu = formula_volume((96, 100, 150), seed=13)
    one, two = (score_volume(volume_of(hu), brightness_model(members=members)) for members in (1, 2))
    np.testing.assert_allclose(one.probability, two.probability, rtol=0, atol=1e-6)
    np.testing.assert_allclose(one.risk.values, two.risk.values, rtol=0, atol=1e-6)
    assert two.computation == f"torch {torch.__version__} float32 on cpu, 2 networks"


def test_the_fine_risk_is_that_of_windows_that_overlap_by_so_much() -> None:
    """84 % of 96 is a step of 15: 0, 15, 30, 45 and, flush, 54. Its mean over patches is not that of step 48."""
    hu = formula_volume((96, 100, 150), seed=13)
    scores = score_volume(volume_of(hu), brightness_model(), EngineSettings(risk_overlap=0.84))
    assert scores.fine_risk is not None
    assert scores.fine_risk.starts == ((0,), (0, 4), (0, 15, 30, 45, 54))
    every = score_volume(volume_of(hu), brightness_model(), EngineSettings(step=15))
    np.testing.assert_array_equal(scores.fine_risk.values, every.risk.values)


def test_a_mirrored_view_of_a_volume_is_taken_as_it_is_seen() -> None:
    hu = formula_volume((100, 96, 96), seed=3)
    seen = score_volume(volume_of(hu[::-1, :, ::-1]), brightness_model())
    copied = score_volume(volume_of(np.ascontiguousarray(hu[::-1, :, ::-1])), brightness_model())
    np.testing.assert_array_equal(seen.probability, copied.probability)
    assert seen.probability.std() > 0


def test_a_read_only_volume_is_taken_as_it_is(recwarn: pytest.WarningsRecorder) -> None:
    hu = np.full((96, 96, 96), 40, np.int16)
    hu.setflags(write=False)
    score_volume(volume_of(hu), brightness_model())
    assert not recwarn.list


@pytest.mark.slow
def test_the_shipped_network_finds_the_same_with_and_without_what_is_left_out() -> None:
    """A cut of a phantom whose aneurysm the shipped weights find."""
    from training.phantom import make_phantom
    from training.phantom_geometry import evaluation_settings

    phantom = make_phantom(900_007, evaluation_settings())
    largest = max(phantom.aneurysms, key=lambda planted: planted.volume_mm3)
    centre = np.argwhere(phantom.labels == largest.number).mean(axis=0).astype(int)
    _, y, x = (slice(max(0, middle - 60), middle + 60) for middle in centre)
    volume = Volume(np.ascontiguousarray(phantom.hu[:, y, x]), phantom.affine)
    model = load_model(settings=ComputeSettings("cpu")).model
    quick = find_lesions(score_volume(volume, model, EngineSettings(threshold=0.5)), volume)
    exact = find_lesions(score_volume(volume, model, EXACT), volume)
    assert quick.lesions == exact.lesions and len(quick.lesions) >= 1
    np.testing.assert_array_equal(quick.labels, exact.labels)
