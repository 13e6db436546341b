"""A way to compute is taken only where it gives, on a known patch, what the network as it is written down gives."""

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import glianet.model
from glianet.errors import BackendError, DeviceLost, OutOfMemory
from glianet.known_patch import check_segmenter, known_patch
from glianet.model import ComputeSettings, prepare_model, ways_to_compute
from glianet.network import GLIANet
from glianet.segmenters import PlainSegmenter, Segmenter, TorchSegmenter, plain_probability
from tests.support.fake_segmenters import CPU, ON_CPU, OPENVINO, FakeSegmenter, as_it_is, fake

TORCH = f"torch {torch.__version__}"


def _off_by_a_half(probability: Tensor) -> Tensor:
    return probability + 0.5


def _off_by_a_half_at_one_voxel(probability: Tensor) -> Tensor:
    probability[0, -1, 3, 40] += 0.5
    return probability


def _not_a_number_at_one_voxel(probability: Tensor) -> Tensor:
    probability[0, -1, 3, 40] = float("nan")
    return probability


def _failing(probability: Tensor) -> Tensor:
    raise RuntimeError("primitive not implemented\nin a file of C++")


@pytest.mark.usefixtures("ways", "quick_network")
@pytest.mark.parametrize(
    ("precision", "change", "reason"),
    [
        ("float32", _off_by_a_half, "off by 0.5, more than rounding explains"),
        ("float32", _off_by_a_half_at_one_voxel, "off by 0.5, more than rounding explains"),
        ("float32", _not_a_number_at_one_voxel, "off by nan, more than rounding explains"),
        ("float32", _failing, r"it fails on a patch that is known \(primitive not implemented\)"),
        ("bfloat16", _off_by_a_half, "off by 0.5, more than rounding explains"),
        ("bfloat16", _not_a_number_at_one_voxel, "off by nan, more than rounding explains"),
        ("bfloat16", _failing, r"it fails on a patch that is known \(primitive not implemented\)"),
    ],
)
def test_a_way_that_computes_something_else_is_not_taken(
    network: GLIANet,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    precision: str,
    change: Callable[[Tensor], Tensor],
    reason: str,
) -> None:
    fake(monkeypatch, {("openvino", precision): change})
    with caplog.at_level(logging.WARNING):
        model = prepare_model([network], ComputeSettings("cpu", precision=precision))
    assert (model.backend, model.precision) == ("torch", precision)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"backend 'openvino' in {precision}" in caplog.text and "the next way is taken" in caplog.text
    with pytest.raises(BackendError, match=f"backend 'openvino' in {precision}: .*{reason}"):
        prepare_model([network], ComputeSettings("cpu", "openvino", precision))


@pytest.mark.usefixtures("ways", "quick_network")
def test_one_voxel_may_be_far_off_in_fewer_bits_but_not_in_float32(
    network: GLIANet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = [(backend, precision) for backend in ("openvino", "torch") for precision in ("float32", "bfloat16")]
    fake(monkeypatch, dict.fromkeys(ways, _off_by_a_half_at_one_voxel))
    model = prepare_model([network], ComputeSettings("cpu", precision="bfloat16"))
    assert model.description == f"{OPENVINO} bfloat16 on cpu"
    model = prepare_model([network], ComputeSettings("cpu", "torch", "float32"))
    assert isinstance(model.members[0].segment, PlainSegmenter)


@pytest.mark.usefixtures("ways", "quick_network")
def test_the_network_as_it_is_written_down_is_left_when_all_else_computes_something_else(
    network: GLIANet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake(monkeypatch, dict.fromkeys(ways_to_compute(CPU), _off_by_a_half))
    model = prepare_model([network], ON_CPU)
    assert isinstance(model.members[0].segment, PlainSegmenter) and model.description == f"{TORCH} float32 on cpu"
    assert len(caplog.records) == 3 and "as it is written down" in caplog.text


@pytest.mark.usefixtures("ways", "quick_network")
def test_a_way_that_cannot_even_be_prepared_is_not_taken(
    network: GLIANet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(network: GLIANet, precision: str, threads: int) -> Segmenter:
        raise RuntimeError("Exception from src/inference: no such device\nmore")

    monkeypatch.setattr(glianet.model, "OpenVINOSegmenter", refuse)
    monkeypatch.setattr(
        glianet.model, "TorchSegmenter", lambda network, device, precision: FakeSegmenter("torch", precision, as_it_is)
    )
    assert prepare_model([network], ON_CPU).description == f"{TORCH} float32 on cpu"
    assert "it cannot be prepared (Exception from src/inference: no such device)" in caplog.text
    with pytest.raises(BackendError, match="backend 'openvino' in float32: it cannot be prepared"):
        prepare_model([network], ComputeSettings("cpu", "openvino", "float32"))


@pytest.mark.usefixtures("ways", "quick_network")
@pytest.mark.parametrize("backend", ["auto", "openvino"])
def test_memory_that_is_short_for_a_moment_is_no_reason_for_another_way(
    network: GLIANet, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    def short(probability: Tensor) -> Tensor:
        return torch.empty(1 << 50)

    fake(monkeypatch, {("openvino", "float32"): short})
    with pytest.raises(OutOfMemory) as caught:
        prepare_model([network], ComputeSettings("cpu", backend))
    assert caught.value.retry_helps


@pytest.mark.usefixtures("ways", "quick_network")
def test_a_device_that_is_lost_at_the_start_is_told(network: GLIANet, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(probability: Tensor) -> Tensor:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    fake(monkeypatch, {("openvino", "float32"): fail})
    with pytest.raises(DeviceLost):
        prepare_model([network], ON_CPU)


@pytest.mark.usefixtures("ways", "quick_network")
def test_every_network_is_checked(network: GLIANet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second of two fails, and both are computed the next way."""
    prepared: list[str] = []

    def segmenter(
        network: GLIANet, device: torch.device, backend: str, precision: str, threads: int, recorder: object
    ) -> Segmenter:
        prepared.append(backend)
        return FakeSegmenter(backend, precision, _failing if len(prepared) == 2 else as_it_is)

    monkeypatch.setattr(glianet.model, "_segmenter", segmenter)
    model = prepare_model([network, network], ON_CPU)
    assert prepared == ["openvino", "openvino", "torch", "torch"]
    assert model.description == f"{TORCH} float32 on cpu, 2 networks"


def test_the_check_tells_another_network_from_this_one(network: GLIANet) -> None:
    """One weight of the last decoder block is another: nothing that a shape would show."""
    other = GLIANet()
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        other.decoder_blocks[2].residual_blocks.residual_block1.conv2.weight[3, 3] += 1  # type: ignore[union-attr,operator,index]
    with pytest.raises(BackendError, match="off by"):
        check_segmenter(TorchSegmenter(other.eval(), CPU, "float32"), known_patch(network), CPU)


def test_the_plain_probability_is_the_softmax_of_the_logits(network: GLIANet) -> None:
    hu = torch.randint(-100, 500, (1, 24, 24, 24), generator=torch.Generator().manual_seed(1)).short()
    location = torch.zeros((1, 32, 6, 6, 6))
    channels = torch.stack([hu.float() / 100, (hu.float() - 100) / 100, (hu.float() - 200) / 600], 1).clamp(0, 1)
    with torch.inference_mode():
        expected = torch.softmax(network.segment(channels, location), dim=1)[:, 1]
        torch.testing.assert_close(plain_probability(network, hu, location), expected, rtol=0, atol=1e-5)
