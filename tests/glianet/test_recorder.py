"""The recordings of CUDA kernels, with a CUDA that is made up: which are made, used and dropped."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from glianet.recorder import GraphSegmenter, Recorder

DEVICE = torch.device("cuda", 0)


class Cuda:
    """What was recorded, in which memory, and the streams that were made current afterwards."""

    def __init__(self) -> None:
        self.recorded: list[tuple[int, int]] = []
        self.streams: list[object] = []
        self.fails: Exception | None = None
        self.pools = 0

    def record(
        self, segment: object, hu: Tensor, location: Tensor, device: torch.device, pool: int
    ) -> Callable[[Tensor, Tensor], Tensor]:
        assert device == DEVICE
        if self.fails:
            raise self.fails
        self.recorded.append((len(hu), pool))
        return lambda new_hu, new_location: -new_hu.float()

    def new_pool(self) -> int:
        self.pools += 1
        return self.pools


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    made = Cuda()
    monkeypatch.setattr("torch.cuda.current_stream", lambda device: "the stream before")
    monkeypatch.setattr("torch.cuda.set_stream", made.streams.append)
    monkeypatch.setattr("torch.cuda.graph_pool_handle", made.new_pool)
    monkeypatch.setattr("glianet.recorder.record", made.record)
    return made


class Launched:
    """A segmenter whose kernels are launched one by one; `fails` is raised instead. A recording gives the negative."""

    precision = "float32"

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.fails: Exception | None = None

    def __call__(self, hu: Tensor, location: Tensor) -> Tensor:
        if self.fails:
            raise self.fails
        self.sizes.append(len(hu))
        return hu.float()


def _segmenter(launched: Launched, recorder: Recorder | None = None) -> GraphSegmenter:
    return GraphSegmenter(launched, recorder or Recorder(DEVICE))  # type: ignore[arg-type]


def _value(segment: GraphSegmenter, size: int) -> float:
    hu = torch.full((size, 2, 2, 2), size, dtype=torch.int16)
    return float(segment(hu, torch.zeros(size, 32, 6, 6, 6)).mean())


def test_the_largest_batch_is_recorded_and_others_are_launched(cuda: Cuda) -> None:
    launched = Launched()
    segment = _segmenter(launched)
    assert [_value(segment, size) for size in (1, 2, 4, 3, 4, 1)] == [1, -2, -4, 3, -4, 1]
    assert cuda.recorded == [(2, 1), (4, 1)] and launched.sizes == [1, 3, 1]
    assert cuda.streams == ["the stream before"] * 2


def test_the_networks_of_one_model_record_into_the_same_memory(cuda: Cuda) -> None:
    recorder = Recorder(DEVICE)
    first, second = (_segmenter(Launched(), recorder) for _ in range(2))
    assert [_value(first, 4), _value(second, 4), _value(first, 4)] == [-4, -4, -4]
    assert cuda.recorded == [(4, 1), (4, 1)]


def test_what_cannot_be_recorded_is_launched_after_one_warning_and_never_tried_again(
    cuda: Cuda, caplog: pytest.LogCaptureFixture
) -> None:
    cuda.fails = RuntimeError("operation not permitted when stream is capturing")
    launched = Launched()
    segment = _segmenter(launched)
    assert _value(segment, 4) == 4
    cuda.fails = None
    assert [_value(segment, 4), _value(segment, 8)] == [4, 8]
    assert launched.sizes == [4, 4, 8] and len(caplog.records) == 1 and cuda.streams == ["the stream before"]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("no memory"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
    ],
)
def test_all_recordings_are_dropped_when_memory_runs_out(cuda: Cuda, error: Exception) -> None:
    recorder, launched = Recorder(DEVICE), Launched()
    first, second = _segmenter(Launched(), recorder), _segmenter(launched, recorder)
    _value(first, 8), _value(second, 8)
    launched.fails = error
    with pytest.raises(RuntimeError):
        _value(second, 4)
    launched.fails = None
    assert [_value(second, 4), _value(first, 4)] == [-4, -4]
    assert cuda.recorded == [(8, 1), (8, 1), (4, 2), (4, 2)]


def test_memory_that_runs_out_while_recording_is_told(cuda: Cuda) -> None:
    cuda.fails = torch.OutOfMemoryError("no memory")
    segment = _segmenter(Launched())
    with pytest.raises(torch.OutOfMemoryError):
        _value(segment, 8)
    cuda.fails = None
    assert _value(segment, 4) == -4  # that was no reason to record no more


def test_a_device_that_is_lost_while_recording_is_told(cuda: Cuda) -> None:
    cuda.fails = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    with pytest.raises(torch.AcceleratorError):
        _value(_segmenter(Launched()), 8)
