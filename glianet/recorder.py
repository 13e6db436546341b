"""Records a network's CUDA kernels once and replays them, which spares launching them one by one."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from glianet.device_errors import is_lost, runs_out_of_memory
from glianet.segmenters import TorchSegmenter

if TYPE_CHECKING:
    from torch.cuda import _POOL_HANDLE

log = logging.getLogger(__name__)

Replay = Callable[[Tensor, Tensor], Tensor]


class Recorder:
    """What the networks of one model share: the memory of the recordings, which run one after the other, never at once.

    For each network one size of batch is recorded, the largest yet, which is the one that most batches have. After a
    recording that failed there is none any more: it may have left the allocator in a state of its own.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._works = True
        self._recordings: dict[TorchSegmenter, tuple[int, Replay]] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def find(self, segment: TorchSegmenter, hu: Tensor, location: Tensor) -> Replay | None:
        """The recording for a batch of this size, made where it is the largest yet. Raises what `segment` raises."""
        size, replay = self._recordings.get(segment, (1, None))
        if len(hu) > size and self._works:
            self._recordings.pop(segment, None)
            size, replay = len(hu), self._recorded(segment, hu.clone(), location.clone())
            if replay:
                self._recordings[segment] = size, replay
        return replay if len(hu) == size else None

    def forget(self) -> None:
        """Frees what the recordings hold: of all networks, since the size of their batches will change alike."""
        self._recordings.clear()
        self._pool = torch.cuda.graph_pool_handle()

    def _recorded(self, segment: TorchSegmenter, hu: Tensor, location: Tensor) -> Replay | None:
        before = torch.cuda.current_stream(self._device)
        try:
            return record(segment, hu, location, self._device, self._pool)
        except RuntimeError as problem:
            if runs_out_of_memory(problem) or is_lost(problem):
                raise
            self._works = False
            self.forget()
            log.warning("no CUDA graph (%s): kernels are launched one by one", problem)
            return None
        finally:
            torch.cuda.set_stream(before)  # a recording that fails leaves its own behind


class GraphSegmenter:
    """PyTorch on a CUDA device, by recordings where there are some. When memory runs out, they are dropped."""

    backend = "torch"

    def __init__(self, segment: TorchSegmenter, recorder: Recorder) -> None:
        self.precision = segment.precision
        self._segment = segment
        self._recorder = recorder

    def __call__(self, hu: Tensor, location: Tensor) -> Tensor:
        try:
            replay = self._recorder.find(self._segment, hu, location)
            return (replay or self._segment)(hu, location)
        except RuntimeError as problem:
            if runs_out_of_memory(problem):
                self._recorder.forget()
            raise


def record(
    segment: TorchSegmenter, hu: Tensor, location: Tensor, device: torch.device, pool: "_POOL_HANDLE"
) -> Replay:
    """hu, location: on the device; where the inputs of every replay are copied to. pool: memory of the recording."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):  # lets cuDNN choose its algorithms before anything is recorded
        segment(hu, location)
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool, stream=stream):
        probability = segment(hu, location)

    def replay(new_hu: Tensor, new_location: Tensor) -> Tensor:
        hu.copy_(new_hu)
        location.copy_(new_location)
        graph.replay()
        return probability.clone()

    return replay
