"""Stand-ins for the ways to compute: each gives a known probability, right, wrong or not at all."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import glianet.model
from glianet.model import ComputeSettings
from glianet.network import GLIANet
from glianet.segmenters import Segmenter

CPU = torch.device("cpu")
ON_CPU = ComputeSettings(device="cpu")
OPENVINO = "openvino 2026.7"


class FakeSegmenter:
    """Gives `change` of a known probability: of the network as it is written down, computed once."""

    def __init__(self, backend: str, precision: str, change: Callable[[Tensor], Tensor]) -> None:
        self.backend = backend
        self.precision = precision
        self._change = change

    def __call__(self, hu: Tensor, location: Tensor) -> Tensor:
        return self._change(torch.full(hu.shape, 0.25))


def as_it_is(probability: Tensor) -> Tensor:
    return probability


def fake(monkeypatch: pytest.MonkeyPatch, changes: dict[tuple[str, str], Callable[[Tensor], Tensor]]) -> None:
    """Every way gives the known probability, but for those that are named."""

    def segmenter(
        network: GLIANet, device: torch.device, backend: str, precision: str, threads: int, recorder: object
    ) -> Segmenter:
        return FakeSegmenter(backend, precision, changes.get((backend, precision), as_it_is))

    monkeypatch.setattr(glianet.model, "_segmenter", segmenter)
