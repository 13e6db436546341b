"""The commands as a user types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from glianet.checkpoint import save_network
from glianet.network import GLIANet
from training.cli import app

SMALL = ["--slices", "40", "--matrix", "128", "--slice-spacing", "1.0", "--in-plane", "1.8"]


def test_phantoms_writes_a_folder_each(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["phantoms", str(tmp_path), "--count", "2", "--seed", "900100", "--aneurysms", "1", *SMALL]
    )
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["phantom-900100", "phantom-900101"]
    truth = json.loads((tmp_path / "phantom-900101" / "truth.json").read_text())
    assert truth["shape"] == [40, 128, 128]
    assert truth["spacing_mm"] == pytest.approx([1.0, 1.8, 1.8])


def test_evaluate_counts_what_was_planted(tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    save_network(GLIANet(), weights, {})
    arguments = [
        "evaluate",
        str(weights),
        "--count",
        "1",
        "--seed",
        "900100",
        "--step",
        "96",
        "--json",
        *SMALL,
    ]
    result = CliRunner().invoke(app, [*arguments, "--slices", "24", "--matrix", "96"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["cases"][0]["seed"] == 900100
    assert summary["planted"] == len(summary["cases"][0]["diameters_mm"])


def test_absent_weights_are_an_error_without_a_traceback(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["evaluate", str(tmp_path / "none.safetensors")])
    assert result.exit_code == 2
    assert "none.safetensors" in result.output
