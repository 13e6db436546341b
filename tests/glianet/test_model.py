import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from torch import Tensor

import glianet.known_patch
import glianet.model
from glianet.errors import BackendError, DeviceError, DeviceLost, OutOfMemory, SettingsError, WeightsError
from glianet.known_patch import check_segmenter, known_patch
from glianet.load_model import load_model
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
from glianet.segmenters import PlainSegmenter, Segmenter, TorchSegmenter, plain_probability
from glianet.weights_file import DEFAULT_WEIGHTS, combined_sha256, weights_sha256

CPU = torch.device("cpu")
ON_CPU = ComputeSettings(device="cpu")
TORCH = f"torch {torch.__version__}"
OPENVINO = "openvino 2026.7"


class FakeSegmenter:
    """Gives `change` of a known probability: of the network as it is written down, computed once."""

    def __init__(self, backend: str, precision: str, change: Callable[[Tensor], Tensor]) -> None:
        self.backend = backend
        self.precision = precision
        self._change = change

    def __call__(self, hu: Tensor, location: Tensor) -> Tensor:
        return self._change(torch.full(hu.shape, 0.25))


def _as_it_is(probability: Tensor) -> Tensor:
    return probability


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


@pytest.fixture
def quick_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network as it is written down says 0.25 everywhere, as the fake segmenters do."""
    monkeypatch.setattr(
        glianet.known_patch, "plain_probability", lambda network, hu, location: torch.full(hu.shape, 0.25)
    )


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor that has bfloat16, and OpenVINO."""
    monkeypatch.setattr(glianet.model, "torch_precisions", lambda device: ("float32", "bfloat16"))
    monkeypatch.setattr(glianet.model, "openvino_precisions", lambda: ("float32", "bfloat16"))
    monkeypatch.setattr(glianet.model, "version", {"torch": torch.__version__, "openvino": "2026.7"}.__getitem__)


def _fake(monkeypatch: pytest.MonkeyPatch, changes: dict[tuple[str, str], Callable[[Tensor], Tensor]]) -> None:
    """Every way gives the known probability, but for those that are named."""

    def segmenter(
        network: GLIANet, device: torch.device, backend: str, precision: str, threads: int, recorder: object
    ) -> Segmenter:
        return FakeSegmenter(backend, precision, changes.get((backend, precision), _as_it_is))

    monkeypatch.setattr(glianet.model, "_segmenter", segmenter)


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
    _fake(monkeypatch, {("openvino", precision): change})
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
    _fake(monkeypatch, dict.fromkeys(ways, _off_by_a_half_at_one_voxel))
    model = prepare_model([network], ComputeSettings("cpu", precision="bfloat16"))
    assert model.description == f"{OPENVINO} bfloat16 on cpu"
    model = prepare_model([network], ComputeSettings("cpu", "torch", "float32"))
    assert isinstance(model.members[0].segment, PlainSegmenter)


@pytest.mark.usefixtures("ways", "quick_network")
def test_the_network_as_it_is_written_down_is_left_when_all_else_computes_something_else(
    network: GLIANet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _fake(monkeypatch, dict.fromkeys(ways_to_compute(CPU), _off_by_a_half))
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
        glianet.model, "TorchSegmenter", lambda network, device, precision: FakeSegmenter("torch", precision, _as_it_is)
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

    _fake(monkeypatch, {("openvino", "float32"): short})
    with pytest.raises(OutOfMemory) as caught:
        prepare_model([network], ComputeSettings("cpu", backend))
    assert caught.value.retry_helps


@pytest.mark.usefixtures("ways", "quick_network")
def test_a_device_that_is_lost_at_the_start_is_told(network: GLIANet, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(probability: Tensor) -> Tensor:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    _fake(monkeypatch, {("openvino", "float32"): fail})
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
        return FakeSegmenter(backend, precision, _failing if len(prepared) == 2 else _as_it_is)

    monkeypatch.setattr(glianet.model, "_segmenter", segmenter)
    model = prepare_model([network, network], ON_CPU)
    assert prepared == ["openvino", "openvino", "torch", "torch"]
    assert model.description == f"{TORCH} float32 on cpu, 2 networks"


@pytest.mark.usefixtures("ways", "quick_network")
def test_the_number_of_threads_is_passed_on(network: GLIANet, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def segmenter(network: GLIANet, precision: str, threads: int) -> Segmenter:
        seen.append(threads)
        return FakeSegmenter("openvino", precision, _as_it_is)

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
    member = Member(network, FakeSegmenter("openvino", "float32", _as_it_is))
    assert Model((member,) * networks, CPU, flips_of(names)).description == description


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


def test_one_digest_stands_for_itself_and_several_for_their_row() -> None:
    """echo -n aabb | sha256sum, with digests of two letters for short."""
    assert combined_sha256(["aa"]) == "aa"
    assert combined_sha256(["aa", "bb"]) == SHA256_OF_AABB
    assert combined_sha256(["bb", "aa"]) != SHA256_OF_AABB


@pytest.mark.usefixtures("quick_network")
def test_one_file_is_loaded_under_its_own_digest(formula_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake(monkeypatch, {})
    loaded = load_model([formula_weights], ON_CPU)
    assert loaded.sha256 == weights_sha256(formula_weights)
    assert len(loaded.model.members) == 1 and loaded.model.flips == ((),)


@pytest.mark.usefixtures("quick_network")
def test_two_files_are_loaded_in_their_order(
    formula_weights: Path, network: GLIANet, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake(monkeypatch, {})
    settings = ComputeSettings("cpu", flips=("left-right",))
    loaded = load_model([DEFAULT_WEIGHTS, formula_weights], settings)
    digests = [weights_sha256(path) for path in (DEFAULT_WEIGHTS, formula_weights)]
    assert loaded.sha256 == combined_sha256(digests) not in digests
    first, second = (member.network.output_conv.weight for member in loaded.model.members)
    assert torch.equal(second, network.output_conv.weight) and not torch.equal(first, second)
    assert loaded.model.flips == ((), (2,))


def test_no_weights_file_at_all_is_refused() -> None:
    with pytest.raises(WeightsError, match="no weights file is named"):
        load_model([])


def test_the_default_weights_are_prepared_and_checked_in_earnest() -> None:
    loaded = load_model(settings=ON_CPU)
    backend, precision = fitting_ways(ON_CPU, CPU)[0]
    assert loaded.sha256 == weights_sha256(DEFAULT_WEIGHTS)
    assert loaded.model.description == f"{backend} {version(backend)} {precision} on cpu"


SHA256_OF_AABB = "486b34250bd4400c0aa90516fce9a9c0633a922eb40d0828cf299bc4e825acf4"
"""Of the four letters."""
