import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch

from glianet.checkpoint import load_network
from glianet.engine import EngineSettings, score_volume
from glianet.errors import DeviceError, OutOfMemory, SettingsError
from glianet.global_volume import resample_global
from glianet.lesions import find_lesions
from glianet.network import GLIANet
from glianet.tiling import global_box, patch_starts
from glianet.volume import Volume
from glianet.weights_file import DEFAULT_WEIGHTS
from glianet.windows import to_channels
from tests.glianet.formulas import BrightnessNetwork, formula_volume, reference

AGREEMENT = 1e-4
CPU = EngineSettings(device="cpu")


def _volume(hu: np.ndarray) -> Volume:
    return Volume(hu, np.diag([0.6, 0.5, 0.5, 1.0]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vol0", "vol1"])
def test_agrees_with_the_published_network_over_a_whole_volume(network: GLIANet, name: str) -> None:
    hu = formula_volume(tuple(reference()[f"{name}_shape"].tolist()), int(reference()[f"{name}_seed"]))
    settings = EngineSettings(step=int(reference()[f"{name}_step"]), device="cpu")
    scores = score_volume(_volume(hu), network, settings)
    kept = (slice(2, None, 6),) * 3
    np.testing.assert_allclose(scores.probability[kept], reference()[f"{name}_prob"], rtol=0, atol=AGREEMENT)
    np.testing.assert_allclose(scores.risk_map()[kept], reference()[f"{name}_risk"], rtol=0, atol=AGREEMENT)
    assert (scores.patches_computed, scores.patches_skipped) == (len(reference()[f"{name}_starts"]), 0)


def test_probability_is_the_plain_mean_over_patches() -> None:
    hu = formula_volume((130, 100, 150), seed=6)
    network = BrightnessNetwork()
    scores = score_volume(_volume(hu), network, EngineSettings(step=32, device="cpu", exact=True))
    total, count = np.zeros(hu.shape), np.zeros(hu.shape)
    features = network.global_features(to_channels(torch.from_numpy(resample_global(hu)[None])))
    for start in product(*(patch_starts(length, 96, 32) for length in hu.shape)):
        window = tuple(slice(first, first + 96) for first in start)
        location, _ = network.localise(features, [global_box(start, hu.shape)])
        logits = network.segment(to_channels(torch.from_numpy(hu[window])[None]), location)
        total[window] += torch.softmax(logits[0], dim=0)[1].numpy()
        count[window] += 1
    np.testing.assert_allclose(scores.probability, total / count, rtol=0, atol=1e-6)


def test_patches_of_air_are_skipped_and_nothing_is_missed() -> None:
    """Head in the middle of 288 columns: with a step of 96 only the middle one of three patches holds tissue."""
    hu = np.full((96, 96, 288), -1000, np.int16)
    hu[:, :, 96:192] = formula_volume((96, 96, 96), seed=7)
    quick, exact = (
        score_volume(
            _volume(hu), BrightnessNetwork(), EngineSettings(step=96, device="cpu", exact=every_patch)
        )
        for every_patch in (False, True)
    )
    assert (quick.patches_computed, quick.patches_skipped) == (1, 2)
    assert (exact.patches_computed, exact.patches_skipped) == (3, 0)
    assert not quick.probability[:, :, :96].any() and exact.probability[:, :, :96].all()
    np.testing.assert_array_equal(quick.risk_map(), exact.risk_map())
    found, expected = (find_lesions(scores, _volume(hu)) for scores in (quick, exact))
    assert found.lesions == expected.lesions and len(found.lesions) > 0
    np.testing.assert_array_equal(found.labels, expected.labels)


@pytest.mark.skipif(not DEFAULT_WEIGHTS.exists(), reason="the package holds no weights")
def test_the_shipped_network_finds_nothing_in_air() -> None:
    """Whatever it makes of the formula's head, skipping the two patches of air beside it changes no lesion."""
    hu = np.full((96, 96, 288), -1000, np.int16)
    hu[:, :, 96:192] = formula_volume((96, 96, 96), seed=7)
    network = load_network(DEFAULT_WEIGHTS).network
    quick, exact = (
        score_volume(_volume(hu), network, EngineSettings(step=96, device="cpu", exact=every_patch))
        for every_patch in (False, True)
    )
    assert exact.probability[:, :, :96].max() < 0.5 and exact.probability[:, :, 192:].max() < 0.5
    np.testing.assert_allclose(quick.probability[:, :, 96:192], exact.probability[:, :, 96:192], atol=1e-6)


def test_a_voxel_above_0_hu_is_tissue_and_0_hu_is_not() -> None:
    hu = np.zeros((96, 96, 192), np.int16)
    hu[0, 0, 0] = 1
    scores = score_volume(_volume(hu), BrightnessNetwork(), EngineSettings(step=96, device="cpu"))
    assert (scores.patches_computed, scores.patches_skipped) == (1, 1)


def test_a_volume_of_air_needs_no_patch() -> None:
    seen: list[tuple[int, int]] = []
    hu = np.full((100, 96, 96), -1000, np.int16)
    scores = score_volume(_volume(hu), BrightnessNetwork(), CPU, lambda *numbers: seen.append(numbers))
    assert not scores.probability.any()
    assert (scores.patches_computed, scores.patches_skipped, seen) == (0, 2, [(0, 0)])


def test_a_small_volume_gives_what_its_padded_volume_gives() -> None:
    hu = formula_volume((60, 71, 100), seed=8)
    padded = np.full((96, 96, 100), hu.min(), np.int16)
    padded[18:78, 12:83] = hu
    small, large = (
        score_volume(_volume(array), BrightnessNetwork(), EngineSettings(device="cpu", exact=True))
        for array in (hu, padded)
    )
    assert small.probability.shape == hu.shape and small.risk_map().shape == hu.shape
    np.testing.assert_array_equal(small.probability, large.probability[18:78, 12:83])
    np.testing.assert_array_equal(small.risk_map(), large.risk_map()[18:78, 12:83])
    assert small.risk_at((0, 0, 99)) == pytest.approx(float(large.risk_map()[18, 12, 99]))


def test_progress_counts_the_patches_to_compute() -> None:
    seen: list[tuple[int, int]] = []
    hu = np.full((96, 96, 192), 40, np.int16)
    settings = EngineSettings(step=32, device="cpu", batch_size=3)
    score_volume(_volume(hu), BrightnessNetwork(), settings, lambda *numbers: seen.append(numbers))
    assert seen == [(0, 4), (3, 4), (4, 4)]


def test_an_exception_of_the_observer_ends_the_computation() -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Stopped

    network = BrightnessNetwork()
    with pytest.raises(Stopped):
        score_volume(_volume(np.full((96, 96, 384), 40, np.int16)), network, CPU, stop)
    assert network.batches == [1, 1]


def test_the_batch_is_halved_until_it_fits() -> None:
    hu = np.full((96, 96, 288), 40, np.int16)
    tight, ample = BrightnessNetwork(largest_batch=2), BrightnessNetwork()
    settings = EngineSettings(device="cpu", batch_size=8)
    expected = score_volume(_volume(hu), ample, settings)
    scores = score_volume(_volume(hu), tight, settings)
    assert ample.batches == [5] and tight.batches == [2, 2, 1]
    np.testing.assert_array_equal(scores.probability, expected.probability)


def test_no_room_for_one_patch_says_so() -> None:
    hu = np.full((96, 96, 96), 40, np.int16)
    with pytest.raises(OutOfMemory, match="device cpu: there is not enough memory for one patch") as caught:
        score_volume(_volume(hu), BrightnessNetwork(largest_batch=0), CPU)
    assert caught.value.retry_helps


@pytest.mark.parametrize("values", [{"step": 0}, {"step": 97}, {"batch_size": 0}])
def test_settings_out_of_range_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        EngineSettings(**values)  # type: ignore[arg-type]


def test_a_device_that_is_not_there_is_refused() -> None:
    hu = np.full((96, 96, 96), 40, np.int16)
    with pytest.raises(DeviceError, match="cuda:99"):
        score_volume(_volume(hu), BrightnessNetwork(), EngineSettings(device="cuda:99"))


MEMORY_PROGRAM = """
import resource
import numpy as np
from glianet.engine import EngineSettings, score_volume
from glianet.lesions import find_lesions
from glianet.volume import Volume
from tests.glianet.formulas import BrightnessNetwork

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

hu = np.full((400, 512, 512), -1000, np.int16)
hu[200:204, 250:254, 250:254] = 700
volume, before = Volume(hu, np.eye(4)), peak_mib()
scores = score_volume(volume, BrightnessNetwork(), EngineSettings(step=96, device="cpu"))
print(len(find_lesions(scores, volume).lesions), peak_mib() - before)
"""


def test_memory_beyond_the_volume_is_that_of_the_slices_in_use() -> None:
    """400 slices of 512 x 512; the lesion's patch touches 96 of them: 100 MB of the probability's 420."""
    done = subprocess.run([sys.executable, "-c", MEMORY_PROGRAM], capture_output=True, text=True, check=True)
    lesions, growth_mib = done.stdout.split()
    assert int(lesions) == 1
    assert float(growth_mib) < 350
