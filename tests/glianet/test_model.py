"""Which ways to compute there are, which of them settings choose, and what a model says of itself."""

import pytest
import torch

import glianet.model
from glianet.errors import BackendError, DeviceError, SettingsError
from glianet.model import (
    ComputeSettings,
    Member,
    Model,
    fitting_ways,
    flips_of,
    prepare_model,
    ways_to_compute,
)
from glianet.network import GLIANet
from glianet.segmenters import Segmenter
from tests.support.fake_segmenters import CPU, OPENVINO, FakeSegmenter, as_it_is


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "tensorrt"}, "backend: 'tensorrt' is none of auto, torch, openvino"),
        ({"precision": "int8"}, "precision: 'int8' is none of auto, float32, bfloat16, float16"),
        ({"flips": ("up-down",)}, "flips: 'up-down': not each a different one of head-foot, front-back, left-right"),
        ({"flips": ("left-right", "left-right")}, "flips: 'left-right', 'left-right': not each a different one"),
        ({"threads": -1}, "threads: -1 is less than 0"),
    ],
)
def test_unknown_settings_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ComputeSettings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "flips"),
    [
        ((), ((),)),
        (("left-right",), ((), (2,))),
        (("left-right", "head-foot"), ((), (0,), (2,), (0, 2))),
        (
            ("head-foot", "front-back", "left-right"),
            ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)),
        ),
    ],
)
def test_flips_are_every_set_of_the_named_axes(names: tuple[str, ...], flips: tuple[tuple[int, ...], ...]) -> None:
    assert flips_of(names) == flips


@pytest.mark.usefixtures("ways")
def test_ways_on_a_processor_with_bfloat16_are_bfloat16_first_and_openvino_first() -> None:
    assert ways_to_compute(CPU) == (
        ("openvino", "bfloat16"),
        ("torch", "bfloat16"),
        ("openvino", "float32"),
        ("torch", "float32"),
    )


def test_ways_on_cuda_are_those_of_pytorch_float16_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glianet.model, "torch_precisions", lambda device: ("float32", "bfloat16", "float16"))
    monkeypatch.setattr(glianet.model, "openvino_precisions", lambda: ("float32",))
    expected = (("torch", "float16"), ("torch", "bfloat16"), ("torch", "float32"))
    assert ways_to_compute(torch.device("cuda", 0)) == expected


def test_without_openvino_and_bfloat16_there_is_one_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glianet.model, "torch_precisions", lambda device: ("float32",))
    monkeypatch.setattr(glianet.model, "openvino_precisions", lambda: ())
    assert ways_to_compute(CPU) == (("torch", "float32"),)


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize(
    ("backend", "precision", "fitting"),
    [
        ("torch", "auto", [("torch", "float32")]),
        ("auto", "auto", [("openvino", "float32"), ("torch", "float32")]),
        ("auto", "bfloat16", [("openvino", "bfloat16"), ("torch", "bfloat16")]),
        ("auto", "float32", [("openvino", "float32"), ("torch", "float32")]),
        ("openvino", "bfloat16", [("openvino", "bfloat16")]),
    ],
)
def test_settings_choose_among_the_ways(backend: str, precision: str, fitting: list[tuple[str, str]]) -> None:
    assert fitting_ways(ComputeSettings("cpu", backend, precision), CPU) == fitting


@pytest.mark.usefixtures("ways")
def test_a_precision_that_the_processor_lacks_is_refused_by_name(network: GLIANet) -> None:
    with pytest.raises(
        BackendError, match="device cpu: backend 'auto' in precision 'float16' is not to be had here"
    ) as raised:
        prepare_model([network], ComputeSettings("cpu", precision="float16"))
    offered = "There is openvino in bfloat16, torch in bfloat16, openvino in float32, torch in float32"
    assert offered in str(raised.value)


def test_openvino_where_it_is_not_installed_is_refused_by_name(
    network: GLIANet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glianet.model, "openvino_precisions", lambda: ())
    with pytest.raises(BackendError, match="backend 'openvino' in precision 'auto'.*There is torch in"):
        prepare_model([network], ComputeSettings("cpu", "openvino"))


def test_a_device_that_is_not_there_is_refused(network: GLIANet) -> None:
    with pytest.raises(DeviceError, match="device 'cuda:77'"):
        prepare_model([network], ComputeSettings("cuda:77"))


@pytest.mark.usefixtures("ways", "quick_network")
def test_the_number_of_threads_is_passed_on(network: GLIANet, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def segmenter(network: GLIANet, precision: str, threads: int) -> Segmenter:
        seen.append(threads)
        return FakeSegmenter("openvino", precision, as_it_is)

    monkeypatch.setattr(glianet.model, "OpenVINOSegmenter", segmenter)
    prepare_model([network], ComputeSettings("cpu", threads=3))
    assert seen == [3]


@pytest.mark.parametrize(
    ("networks", "names", "description"),
    [
        (1, (), f"{OPENVINO} float32 on cpu"),
        (3, (), f"{OPENVINO} float32 on cpu, 3 networks"),
        (1, ("left-right",), f"{OPENVINO} float32 on cpu, flips left-right"),
        (
            2,
            ("left-right", "head-foot"),
            f"{OPENVINO} float32 on cpu, 2 networks, flips head-foot left-right",
        ),
    ],
)
@pytest.mark.usefixtures("ways")
def test_a_model_describes_itself(
    network: GLIANet, networks: int, names: tuple[str, ...], description: str
) -> None:
    member = Member(network, FakeSegmenter("openvino", "float32", as_it_is))
    assert Model((member,) * networks, CPU, flips_of(names)).description == description
