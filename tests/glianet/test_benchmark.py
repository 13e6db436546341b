import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from typer.testing import CliRunner, Result

from glianet.benchmark.machine import describe_machine
from glianet.benchmark.made_head import make_head
from glianet.benchmark.patches import Patches, by_model
from glianet.benchmark.report import Report, make_row
from glianet.benchmark.request import MATRIX, REFERENCE, WAY, YARDSTICK, Measured, Request, VolumeTime
from glianet.benchmark.table import draw_report
from glianet.benchmark.work import count_flop, gflop_per_patch
from glianet.benchmark.yardstick import evaluate_plainly
from glianet.cli import app
from glianet.engine import EngineSettings, score_volume
from glianet.model import Member, Model
from glianet.network import GLIANet
from glianet.volume import Volume
from glianet.windows import to_channels
from tests.glianet.formulas import formula_volume, reference

AGREEMENT = 1e-4
CPU = torch.device("cpu")
WORKING = ("openvino" if find_spec("openvino") else "torch", "float32")
REFUSED = ("torch", "float16")
"""No CPU has it (`torch_precisions`)."""


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments)])


def _request(kind: str, **values: Any) -> Request:
    return Request(kind, "", "cpu", 0, "", 48, ((0, 0, 0),), True, **values)


@torch.inference_mode()
def test_the_yardstick_agrees_with_the_published_network(network: GLIANet) -> None:
    local, whole = (
        to_channels(torch.from_numpy(formula_volume((96, 96, 96), seed))[None]) for seed in (1, 2)
    )
    box = reference()["net1_bbox"].tolist()
    plain = torch.contiguous_format  # other tests may have turned the network's layout round
    tensors = {name: tensor.clone(memory_format=plain) for name, tensor in network.state_dict().items()}
    logits, risk = evaluate_plainly(tensors, local.contiguous(), whole.contiguous(), box)
    np.testing.assert_allclose(
        logits[0, :, 4::8, 4::8, 4::8], reference()["net1_logits"], rtol=0, atol=AGREEMENT
    )
    np.testing.assert_allclose(risk[0], reference()["net1_global"], rtol=0, atol=AGREEMENT)


def test_flop_are_two_for_each_weight_that_is_applied() -> None:
    """3 x 27 weights for each of 5 x 4^3 outputs; the transposed one applies 7 x 27 to each of 6 x 4^3 inputs."""
    with torch.device("meta"):
        convolution = nn.Conv3d(3, 5, 3, padding=1)
        transposed = nn.ConvTranspose3d(6, 7, 3, stride=2, padding=1, output_padding=1)
        three, six = torch.empty(1, 3, 4, 4, 4), torch.empty(1, 6, 4, 4, 4)
    assert count_flop(lambda: convolution(three)) == 2 * 5 * 64 * 3 * 27
    assert count_flop(lambda: transposed(six)) == 2 * 6 * 64 * 7 * 27


def test_gates_and_global_branch_are_the_yardsticks_alone() -> None:
    """Gates: 32 weights for each voxel of 16, 32 and 64 channels at 96^3, 48^3 and 24^3 instead of 6^3."""
    sizes = ((16, 96), (32, 48), (64, 24))
    gates = sum(2 * 32 * channels * (size**3 - 6**3) for channels, size in sizes) / 1e9
    assert gflop_per_patch("yardstick") - gflop_per_patch("network") - gates == pytest.approx(6.1, abs=0.1)
    assert gflop_per_patch("yardstick") == pytest.approx(35.4, abs=0.05)


def test_the_made_head_fills_half_of_the_diameter_and_is_always_the_same() -> None:
    volume = make_head(slices=40, size=128)
    assert volume.shape == (40, 128, 128)
    assert volume.spacing_mm == pytest.approx((0.6, 0.45, 0.45))
    row = np.flatnonzero(volume.hu[20, 64] > -300)
    assert row.max() - row.min() + 1 == pytest.approx(64, abs=1)
    assert volume.hu[20, :8].max() < -900 and (volume.hu > 850).any()
    np.testing.assert_array_equal(volume.hu, make_head(40, 128).hu)
    assert (volume.hu != make_head(40, 128, seed=1).hu).any()


class _Brightness:
    """Stands in for a local branch: rises with HU, its location feature and the place in the patch."""

    backend, precision = "torch", "float32"

    def __call__(self, hu: Tensor, location: Tensor) -> Tensor:
        return torch.sigmoid(hu / 1000 + location.mean(dim=(1, 2, 3, 4)) + torch.linspace(0, 1, hu.shape[-1]))


@torch.inference_mode()
def test_a_timed_patch_is_what_the_engine_computes(network: GLIANet) -> None:
    volume = Volume(formula_volume((96, 96, 130), seed=3), np.eye(4))
    model = Model((Member(network, _Brightness()),), CPU, flips=((), (2,)))
    scores = score_volume(volume, model, EngineSettings(step=96, exact=True))
    first = by_model(model, Patches(volume.hu, [(0, 0, 0), (0, 0, 34)], CPU))([0])[0]
    np.testing.assert_allclose(first[:, :, :34], scores.probability[:, :, :34], atol=1e-6)


def test_a_row_is_put_in_relation_to_the_yardstick_and_the_matrix_product() -> None:
    yardstick = Measured((4.0, 1.0, 3.0), volume=VolumeTime(30.0, 10, 10, None))
    measured = Measured((0.5, 0.7, 0.6), 1e-5, VolumeTime(2.0, 4, 10, 3, True, 0, 1e-6), peak_bytes=10**9)
    row = make_row(_request(WAY, networks=2), measured, yardstick, {"float32": 400.0})
    assert (row.seconds_per_patch, row.ratio_to_yardstick) == (0.6, pytest.approx(5))
    assert row.gflop_per_second == pytest.approx(2 * gflop_per_patch("folded") / 0.6)
    assert row.share_of_matrix_product == pytest.approx(2 * gflop_per_patch("folded") / 240)
    assert row.volume is not None and row.volume.ratio_to_yardstick == pytest.approx(15)


def test_the_tables_show_every_row_and_why_one_failed() -> None:
    yardstick = Measured((3.0,), 1e-5, VolumeTime(600.0, 200, 200, None))
    way = Measured((0.5,), 1e-5, VolumeTime(40.0, 80, 200, 3, False, 7, 1e-6), peak_bytes=10**9)
    flipped = Measured((1.1,), peak_bytes=10**9)
    answers: list[tuple[Request, Measured | str]] = [
        (_request(YARDSTICK), yardstick),
        (_request(REFERENCE), way),
        (_request(WAY, backend="openvino"), way),
        (_request(WAY, precision="bfloat16"), "its probabilities are off by 0.3"),
        (_request(WAY, backend="openvino", flips=("left-right",)), flipped),
    ]
    rows = tuple(make_row(request, answer, yardstick, {"float32": 100.0}) for request, answer in answers)
    report = Report(
        describe_machine(CPU, 2), "cpu", (112, 512, 512), (0.6, 0.45, 0.45), 48, 1, {"float32": 100.0}, rows
    )
    console = Console(width=80, record=True)
    console.print(*draw_report(report), sep="\n")
    text = console.export_text()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    share = f"{gflop_per_patch('yardstick') / 3:.1f} {gflop_per_patch('yardstick') / 3:.0f}%"
    assert f"yardstick 3 0.333 1.00 {share} 1.0e-05 -" in lines
    assert "yardstick 600.0 * 1.00 200 of 200 - - -" in lines
    assert "openvino float32 40.0 15.00 80 of 200 3 7 voxels off 1.0e-06" in lines
    assert lines.count("torch bfloat16 failed") == 2
    assert "torch bfloat16 failed: its probabilities are off by 0.3" in lines
    assert "openvino float32 + 1 flip axis: 2.20 times openvino float32." in lines
    assert any(line.startswith("* extrapolated") for line in lines)


@pytest.mark.slow
def test_json_holds_every_row_measured_in_processes_of_their_own(
    formula_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glianet.benchmark.run.ways_to_compute", lambda device: (WORKING, REFUSED))
    options = ("--size", 96, "--slices", 96, "--patches", 1, "--device", "cpu", "--weights", formula_weights)
    result = _run(*options, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["matrix_gflop_per_second"]["float32"] > 1
    yardstick, plain, working, refused, flipped, two = document["rows"]
    assert [row["kind"] for row in document["rows"]] == [YARDSTICK, REFERENCE, WAY, WAY, WAY, WAY]
    assert yardstick["ratio_to_yardstick"] == 1 and yardstick["largest_difference"] < AGREEMENT
    assert yardstick["volume"]["extrapolated"] and yardstick["volume"]["patches"] == 1
    assert plain["largest_difference"] == 0 and plain["volume"]["findings_equal"]
    assert working["largest_difference"] < 1e-3 and working["volume"]["patches_computed"] == 1
    assert working["share_of_matrix_product"] > 0 and 10**8 < working["peak_bytes"] < 4 * 10**9
    assert "is not to be had here" in refused["problem"] and refused["seconds_per_patch"] is None
    assert (flipped["flips"], flipped["networks"], two["flips"], two["networks"]) == (
        ["left-right"],
        1,
        [],
        2,
    )
    assert flipped["gflop_per_patch"] == two["gflop_per_patch"] == 2 * working["gflop_per_patch"]
    assert two["volume"] is None and MATRIX not in {row["kind"] for row in document["rows"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--image", "none.nii"), "none.nii: there is no such file or folder"),
        (("--slices", "0"), "head that is made: it needs a slice"),
        (("--size", "64", "--patches", "0"), "patches: 0 is less than 1"),
        (("--size", "64", "--step", "0"), "step of the window: 0 is not between 1 and 96 voxels"),
        (("--size", "64", "--device", "gpu"), "device 'gpu': it is no device name"),
        (("--size", "64", "--weights", "none.safetensors"), "none.safetensors: the weights cannot be read"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments: tuple[str, ...], message: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("glianet: ") and message in lines[0]
