"""The sliding window for any model: against the node's engine, and against sums done voxel by voxel."""

from collections.abc import Callable
from itertools import product
from typing import Any, Self

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from glianet.engine import EngineSettings, score_volume
from glianet.errors import BackendError, DeviceError, SettingsError, VolumeError
from glianet.model import Member, Model
from glianet.network import Boxes, GLIANet
from glianet.segmenters import TorchSegmenter
from glianet.volume import Volume
from tests.glianet.formulas import formula_network, formula_volume
from training.models.build_model import LocatedModel, ModelOutput, SegmentationModel
from training.sliding_window import score_volume_with

CPU = torch.device("cpu")


class RampModel(SegmentationModel):
    """The logit rises with the upper HU window and along the axes of the patch, so that every place is told apart."""

    def __init__(self) -> None:
        super().__init__("ramp", "cross-entropy", nn.Identity())
        self.wholes: list[Tensor] = []
        self.boxes: list[list[int]] = []
        self.batches: list[int] = []

    def features(self, whole: Tensor) -> Tensor:
        self.wholes.append(whole)
        return whole

    def segment(self, patches: Tensor, features: Tensor | None, boxes: Boxes) -> ModelOutput:
        assert features is self.wholes[0]
        self.batches.append(len(patches))
        self.boxes += [list(box) for box in boxes]
        logit = 3 * patches[:, 2] + torch.from_numpy(_ramp())
        return ModelOutput(torch.stack((torch.zeros_like(logit), logit), dim=1), None)


def test_agrees_with_the_engine() -> None:
    hu = formula_volume((96, 96, 120), seed=8)
    network = formula_network()
    engine = Model((Member(network, TorchSegmenter(network, CPU, "float32")),), CPU)
    expected = score_volume(Volume(hu, np.eye(4)), engine, EngineSettings(exact=True)).probability
    found = score_volume_with(LocatedModel("glianet", "glianet", network), hu, device="cpu", exact=True)
    assert found.dtype == np.float32 and np.ptp(expected) > 0.5
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_glianet_computes_its_global_features_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Tensor] = []
    features = torch.zeros(1, 128, 24, 24, 24)

    def once(self: GLIANet, whole: Tensor) -> Tensor:
        calls.append(whole)
        return features

    def quick(self: GLIANet, patches: Tensor, location: Tensor) -> Tensor:
        return patches[:, :2]

    monkeypatch.setattr(GLIANet, "global_features", once)
    monkeypatch.setattr(GLIANet, "segment", quick)
    hu = formula_volume((96, 96, 150), seed=4)
    score_volume_with(LocatedModel("glianet", "glianet", GLIANet()), hu, device="cpu", exact=True)
    assert len(calls) == 1


@pytest.mark.parametrize("batch_size", [1, 4])
def test_patches_lie_where_they_belong(batch_size: int) -> None:
    """91 slices are padded by 2 before and 3 behind; patches begin at row 0 and 1, column 0, 30 and 35."""
    hu = np.random.default_rng(9).integers(-100, 900, (91, 97, 131)).astype(np.int16)
    model, told = RampModel(), []
    found = score_volume_with(
        model,
        hu,
        step=30,
        device=CPU,
        batch_size=batch_size,
        exact=True,
        progress=lambda done, total: told.append((done, total)),
    )
    np.testing.assert_allclose(found, _mean_by_hand(hu, (-2,), (0, 1), (0, 30, 35)), rtol=0, atol=1e-6)
    assert (len(model.wholes), model.wholes[0].shape) == (1, (1, 3, 96, 96, 96))
    # cube of 131 voxels, 17 of them before slices and rows: 17 * 96 / 131 = 12.5, 113 * 96 / 131 = 82.8
    assert model.boxes[0] == [12, 82, 12, 82, 0, 69]
    assert model.boxes[-1] == [12, 82, 13, 83, 26, 95]
    assert model.batches == ([1] * 6 if batch_size == 1 else [4, 2])
    assert told == [(done, 6) for done in np.cumsum(model.batches)]


def test_layers_are_joined() -> None:
    """Slices 0, 20, 40 and 53: the patches of a layer reach into the layers after it."""
    hu = np.random.default_rng(10).integers(-100, 900, (149, 96, 96)).astype(np.int16)
    found = score_volume_with(RampModel(), hu, step=20, device=CPU, exact=True)
    np.testing.assert_allclose(found, _mean_by_hand(hu, (0, 20, 40, 53), (0,), (0,)), rtol=0, atol=1e-6)


def test_air_is_left_out_unless_exact() -> None:
    hu = np.full((96, 96, 288), -1000, np.int16)
    hu[:, :, 96:192] = formula_volume((96, 96, 96), seed=7)
    model = RampModel()
    quick = score_volume_with(model, hu, step=96, device=CPU)
    assert len(model.boxes) == 1
    assert not quick[:, :, :96].any() and not quick[:, :, 192:].any()
    exact = score_volume_with(RampModel(), hu, step=96, device=CPU, exact=True)
    np.testing.assert_array_equal(quick[:, :, 96:192], exact[:, :, 96:192])
    assert exact.min() > 0


class NormalisingModel(SegmentationModel):
    """One weight and batch normalisation; refuses to be moved in inference mode."""

    def __init__(self) -> None:
        network = nn.Sequential(nn.Conv3d(3, 2, 1), nn.BatchNorm3d(2))
        super().__init__("normalising", "cross-entropy", network)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        assert not torch.is_inference_mode_enabled()
        return super()._apply(fn, recurse)


def test_a_model_in_training_is_evaluated_and_left_as_it_was() -> None:
    hu = formula_volume((96, 96, 96), seed=3)
    torch.manual_seed(2)
    model = NormalisingModel()
    expected = score_volume_with(model.eval(), hu, device=CPU)
    model.train()
    frozen = model.get_submodule("network.0").eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = score_volume_with(model, hu, device=CPU)
    np.testing.assert_array_equal(found, expected)
    assert model.training and model.network.training and not frozen.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_is_no_probability_is_refused() -> None:
    model = SegmentationModel("broken", "cross-entropy", nn.Conv3d(3, 2, 1))
    nn.init.constant_(model.get_parameter("network.bias"), float("nan"))
    with pytest.raises(BackendError, match="not from 0 to 1, or not a number"):
        score_volume_with(model, np.zeros((96, 96, 96), np.int16), device=CPU, exact=True)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"step": 0}, SettingsError, "step of the window: 0 is not between 1 and 96"),
        ({"step": 97}, SettingsError, "97 is not between 1 and 96"),
        ({"batch_size": 0}, SettingsError, "batch size: 0 is less than 1"),
        ({"device": "gpu"}, DeviceError, "no device name"),
        ({"volume_hu": np.zeros((96, 96, 96), np.float32)}, VolumeError, "float32 instead of an int16"),
        ({"volume_hu": np.zeros((96, 96), np.int16)}, VolumeError, "shape"),
    ],
)
def test_arguments_out_of_range_are_refused(given: dict[str, Any], error: type[Exception], text: str) -> None:
    arguments: dict[str, Any] = {"volume_hu": np.zeros((96, 96, 96), np.int16), "device": "cpu"} | given
    with pytest.raises(error, match=text):
        score_volume_with(RampModel(), **arguments)


def _ramp() -> NDArray[np.float32]:
    """(96, 96, 96): from -1 up, differently along each axis."""
    z, y, x = np.ogrid[:96, :96, :96]
    return ((z + 2 * y + 4 * x) / 300 - 1).astype(np.float32)


def _mean_by_hand(hu: NDArray[np.int16], *starts: tuple[int, ...]) -> NDArray[np.float64]:
    """The mean over patches, each of which begins at `starts` and may reach over the volume's edge."""
    total, count = np.zeros(hu.shape), np.zeros(hu.shape)
    for start in product(*starts):
        inside = tuple(
            slice(max(first, 0), min(first + 96, length)) for first, length in zip(start, hu.shape, strict=True)
        )
        own = tuple(slice(part.start - first, part.stop - first) for part, first in zip(inside, start, strict=True))
        logit = 3 * np.clip((hu[inside] - 200) / 600, 0, 1) + _ramp()[own]
        total[inside] += 1 / (1 + np.exp(-logit))
        count[inside] += 1
    assert count.min() > 0
    return total / count
