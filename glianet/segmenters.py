"""The ways to compute the local segmentation network, behind one call."""

import logging
from typing import Any, Protocol

import torch
from torch import Tensor

from glianet.folded_network import FoldedNetwork
from glianet.network import GLIANet
from glianet.tiling import PATCH_SIZE
from glianet.windows import to_channels, window_ends

log = logging.getLogger(__name__)

AMPERE = 8
"""Major compute capability of the first NVIDIA generation with instructions for bfloat16."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Numbers that features are kept in. Sums, and whatever is made of them, are float32 at least in each."""


class Segmenter(Protocol):
    """Patches of HU in, aneurysm probability out."""

    backend: str
    precision: str

    def __call__(self, hu: Tensor, location: Tensor) -> Tensor:
        """(N, 96, 96, 96) float32 probability of patches (N, 96, 96, 96) int16 HU at locations (N, 32, 6, 6, 6)."""


class PlainSegmenter:
    """The network as it is written down, in float32: what every other way is held against."""

    backend = "torch"
    precision = "float32"

    def __init__(self, network: GLIANet) -> None:
        self._network = network

    def __call__(self, hu: Tensor, location: Tensor) -> Tensor:
        return plain_probability(self._network, hu, location)


def plain_probability(network: GLIANet, hu: Tensor, location: Tensor) -> Tensor:
    """(N, S, S, S) probability by the network as it is written down, of HU (N, S, S, S) and location features."""
    logits = network.segment(to_channels(hu), location)
    return torch.sigmoid(logits[:, 1] - logits[:, 0])


class TorchSegmenter:
    """PyTorch, on the CPU or a CUDA device."""

    backend = "torch"

    def __init__(self, network: GLIANet, device: torch.device, precision: str) -> None:
        self.precision = precision
        self._dtype = DTYPES[precision]
        folded = FoldedNetwork(network).to(device=device, dtype=self._dtype)
        self._network = folded.to(memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]
        self._ends = window_ends(device)

    def __call__(self, hu: Tensor, location: Tensor) -> Tensor:
        channels = to_channels(hu, self._ends).to(self._dtype, memory_format=torch.channels_last_3d)
        return self._network(channels, location.to(self._dtype))


class OpenVINOSegmenter:
    """OpenVINO, on the CPU. Patches go one by one: two at a time are no faster on the cores that there are."""

    backend = "openvino"

    def __init__(self, network: GLIANet, precision: str, threads: int = 0) -> None:
        """threads: 0 for as many as PyTorch uses."""
        import openvino

        from glianet.openvino_network import build_graph

        self.precision = precision
        properties: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),
            "INFERENCE_PRECISION_HINT": DTYPE_NAMES[precision],
        }
        compiled = openvino.Core().compile_model(build_graph(network), "CPU", properties)
        self._request = compiled.create_infer_request()

    def __call__(self, hu: Tensor, location: Tensor) -> Tensor:
        probability = torch.empty(len(hu), *[PATCH_SIZE] * 3)
        for number, (patch, place) in enumerate(zip(hu.contiguous(), location, strict=True)):
            inputs = [patch[None, None].numpy(), place[None].float().contiguous().numpy()]
            outputs = self._request.infer(inputs, share_inputs=True, share_outputs=True)
            probability[number] = torch.from_numpy(outputs[0][0, 0])
        return probability


DTYPE_NAMES = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
"""What OpenVINO calls them."""


def openvino_precisions() -> tuple[str, ...]:
    """The precisions in which OpenVINO computes on this processor; none where it is not installed.

    It takes a request for another one without a word, and computes in float32.
    """
    try:
        import openvino
    except ImportError:
        return ()
    except OSError as problem:
        log.warning("OpenVINO is installed but does not load (%s)", problem)
        return ()
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    names = {"FP32": "float32", "BF16": "bfloat16", "FP16": "float16"}
    return tuple(name for capability, name in names.items() if capability in capabilities)


def torch_precisions(device: torch.device) -> tuple[str, ...]:
    """The precisions in which PyTorch computes on a device by its own instructions, not by way of float32."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return ("float32", "bfloat16", "float16") if major >= AMPERE else ("float32", "float16")
    return ("float32", "bfloat16") if torch.cpu._is_avx512_bf16_supported() else ("float32",)
