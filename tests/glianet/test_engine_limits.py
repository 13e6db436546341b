"""What ends a computation or changes its course: progress that is watched, memory that is short, a failing device."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from glianet.engine import EngineSettings, score_volume
from glianet.errors import BackendError, DeviceLost, OutOfMemory, SettingsError, WeightsError
from tests.glianet.formulas import BrightnessSegmenter, brightness_model, formula_volume, volume_of


@pytest.mark.parametrize(
    "values", [{"step": 0}, {"step": 97}, {"batch_size": -1}, {"threshold": 1.5}, {"risk_overlap": 1.0}]
)
def test_settings_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        EngineSettings(**values)  # type: ignore[arg-type]


def test_progress_counts_the_patches_that_may_have_to_be_computed() -> None:
    seen: list[tuple[int, int]] = []
    hu = np.full((96, 96, 192), 40, np.int16)
    settings = EngineSettings(step=32, batch_size=3)
    score_volume(volume_of(hu), brightness_model(), settings, lambda *numbers: seen.append(numbers))
    assert list(dict.fromkeys(seen)) == [(0, 4), (3, 4), (4, 4)]


def test_an_exception_of_the_observer_ends_the_computation() -> None:
    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Stopped

    segment = BrightnessSegmenter()
    with pytest.raises(Stopped):
        score_volume(volume_of(np.full((96, 96, 384), 40, np.int16)), brightness_model(segment), progress=stop)
    assert segment.batches == [1, 1]


def test_risks_that_are_no_numbers_are_weights_that_cannot_be_used() -> None:
    model = brightness_model()
    model.members[0].network.localizer_loss.conv2.weight.data.fill_(3e38)
    with pytest.raises(WeightsError, match="risks that are no numbers"):
        score_volume(volume_of(formula_volume((96, 96, 96), seed=1)), model)


def test_the_batch_is_halved_until_it_fits() -> None:
    hu = np.full((96, 96, 288), 40, np.int16)
    tight, ample = BrightnessSegmenter(largest_batch=2), BrightnessSegmenter()
    settings = EngineSettings(batch_size=8)
    expected = score_volume(volume_of(hu), brightness_model(ample), settings)
    scores = score_volume(volume_of(hu), brightness_model(tight), settings)
    assert ample.batches == [5] and tight.batches == [2, 2, 1]
    np.testing.assert_array_equal(scores.probability, expected.probability)


def test_no_room_for_one_patch_says_so() -> None:
    hu = np.full((96, 96, 96), 40, np.int16)
    with pytest.raises(OutOfMemory, match="device cpu: there is not enough memory for one patch") as caught:
        score_volume(volume_of(hu), brightness_model(BrightnessSegmenter(largest_batch=0)))
    assert caught.value.retry_helps


class _Failing(BrightnessSegmenter):
    def __init__(self, problem: Exception) -> None:
        super().__init__()
        self._problem = problem

    def __call__(self, hu: torch.Tensor, location: torch.Tensor) -> torch.Tensor:
        raise self._problem


def test_a_library_that_fails_at_a_patch_is_told_with_the_device() -> None:
    hu = np.full((96, 96, 96), 40, np.int16)
    with pytest.raises(BackendError, match=r"device cpu: a patch cannot be computed \(no primitive\)") as caught:
        score_volume(volume_of(hu), brightness_model(_Failing(RuntimeError("no primitive\nsource.cpp:1"))))
    assert caught.value.retry_helps


def test_a_device_that_is_lost_is_told_from_a_patch_that_fails() -> None:
    hu = np.full((96, 96, 96), 40, np.int16)
    with pytest.raises(DeviceLost, match="unspecified launch failure"):
        score_volume(
            volume_of(hu), brightness_model(_Failing(torch.AcceleratorError("CUDA error: unspecified launch failure")))
        )


def test_memory_that_runs_out_before_the_first_patch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def upload(hu: np.ndarray, device: torch.device) -> torch.Tensor:
        return torch.empty(1 << 50)

    monkeypatch.setattr("glianet.engine.upload", upload)
    with pytest.raises(OutOfMemory, match="not enough memory for this volume"):
        score_volume(volume_of(np.full((96, 96, 96), 40, np.int16)), brightness_model())


MEMORY_PROGRAM = """
import numpy as np
import torch
from glianet.allocator import keep_freed_memory
from glianet.benchmark.memory import peak_bytes, resident_bytes
from glianet.engine import EngineSettings, score_volume
from glianet.lesions import find_lesions
from glianet.load_model import load_model
from glianet.model import ComputeSettings
from glianet.volume import Volume

before = resident_bytes()
keep_freed_memory()
hu = np.full((1310, 512, 512), -1000, np.int16)
hu[600:680, 210:280, 210:280] = 40
hu[640, 250:254, 250:254] = 700
volume = Volume(hu, np.eye(4))
scores = score_volume(volume, load_model(settings=ComputeSettings("cpu")).model, EngineSettings(threshold=0.5))
findings = find_lesions(scores, volume)
print(scores.patches_computed, peak_bytes() - before)
"""


@pytest.mark.slow
def test_memory_of_the_longest_scan_stays_in_its_bound() -> None:
    """1310 slices of 512 x 512, input included, above the interpreter with torch; the real network on a small head."""
    done = subprocess.run([sys.executable, "-c", MEMORY_PROGRAM], capture_output=True, text=True, check=True)
    computed, growth = done.stdout.split()
    assert int(computed) >= 4
    assert float(growth) / 1e9 < 3.0
