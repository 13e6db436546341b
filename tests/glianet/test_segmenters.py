import sys

import pytest
import torch
from torch import Tensor

from glianet.network import GLIANet
from glianet.segmenters import (
    DTYPE_NAMES,
    DTYPES,
    OpenVINOSegmenter,
    TorchSegmenter,
    openvino_precisions,
    plain_probability,
    torch_precisions,
)
from tests.glianet.formulas import formula_volume

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def inputs() -> tuple[Tensor, Tensor]:
    """Two patches of 96^3 HU that lie side by side in one volume, and their locations."""
    hu = torch.from_numpy(formula_volume((96, 96, 192), seed=4))
    location = torch.randn((2, 32, 6, 6, 6), generator=torch.Generator().manual_seed(4))
    return torch.stack((hu[..., :96], hu[..., 96:])), location


@pytest.fixture(scope="module")
def expected(network: GLIANet, inputs: tuple[Tensor, Tensor]) -> Tensor:
    """(2, 96, 96, 96)."""
    with torch.inference_mode():
        return plain_probability(network, *inputs)


@torch.inference_mode()
def test_pytorch_in_bfloat16_stays_near_the_network_and_leaves_it_alone(network: GLIANet) -> None:
    """Measured: 0.04 at most, and 0.004 in the mean."""
    hu = torch.from_numpy(formula_volume((48, 48, 48), seed=4))[None]
    location = torch.randn((1, 32, 6, 6, 6), generator=torch.Generator().manual_seed(4))
    segment = TorchSegmenter(network, CPU, "bfloat16")
    assert (segment.backend, segment.precision) == ("torch", "bfloat16")
    probability = segment(hu, location)
    assert probability.dtype == torch.float32 and probability.shape == (1, 48, 48, 48)
    difference = (probability - plain_probability(network, hu, location)).abs()
    assert 0 < difference.max() < 0.1 and difference.mean() < 0.01
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


@torch.inference_mode()
def test_openvino_gives_the_probability_of_the_network_for_every_patch_of_a_batch(
    network: GLIANet, inputs: tuple[Tensor, Tensor], expected: Tensor
) -> None:
    """The patches come as views into a volume, as they may from a caller."""
    pytest.importorskip("openvino")
    segment = OpenVINOSegmenter(network, "float32", threads=2)
    hu, location = inputs
    views = torch.cat(tuple(hu), dim=2).unfold(2, 96, 96).permute(2, 0, 1, 3)
    assert not views.is_contiguous() and torch.equal(views, hu)
    probability = segment(views, location)
    assert (segment.backend, segment.precision) == ("openvino", "float32")
    assert probability.dtype == torch.float32
    assert (probability - expected).abs().max() < 1e-4
    kept = probability.clone()
    segment(hu[:1], location[1:])
    assert torch.equal(probability, kept), "a result must not change when the next patch is computed"


def test_every_precision_has_a_name_in_openvino() -> None:
    assert DTYPE_NAMES.keys() == DTYPES.keys()


def test_without_openvino_there_is_no_precision_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert openvino_precisions() == ()


@pytest.mark.parametrize(
    ("capabilities", "precisions"),
    [
        (["FP32", "INT8", "BIN"], ("float32",)),
        (["BF16", "FP32", "EXPORT_IMPORT"], ("float32", "bfloat16")),
        (["FP32", "FP16", "BF16"], ("float32", "bfloat16", "float16")),
        (["BF16_OF_ANOTHER_KIND", "FP32"], ("float32",)),
    ],
)
def test_precisions_are_those_that_the_processor_is_said_to_have(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[str], precisions: tuple[str, ...]
) -> None:
    openvino = pytest.importorskip("openvino")

    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return capabilities

    monkeypatch.setattr(openvino, "Core", Core)
    assert openvino_precisions() == precisions


def test_this_processor_computes_in_float32() -> None:
    pytest.importorskip("openvino")
    assert "float32" in openvino_precisions()


@pytest.mark.parametrize(("there", "precisions"), [(True, ("float32", "bfloat16")), (False, ("float32",))])
def test_pytorch_computes_in_bfloat16_where_the_processor_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, there: bool, precisions: tuple[str, ...]
) -> None:
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: there)
    assert torch_precisions(CPU) == precisions


@pytest.mark.parametrize(("capability", "there"), [((7, 5), False), ((8, 0), True), ((9, 0), True), ((12, 0), True)])
def test_bfloat16_on_cuda_is_there_since_ampere(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], there: bool
) -> None:
    """NVIDIA, CUDA C++ Programming Guide: __nv_bfloat16 by compute capability 8.0 and higher."""
    asked: list[torch.device] = []
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: asked.append(device) or capability)
    expected = ("float32", "bfloat16", "float16") if there else ("float32", "float16")
    assert torch_precisions(torch.device("cuda", 1)) == expected
    assert asked == [torch.device("cuda", 1)]
