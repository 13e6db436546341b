import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from glianet import __version__
from glianet.cli import app
from glianet.nifti import write_nifti
from tests.glianet.formulas import formula_volume


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("image") / "cta.nii.gz"
    write_nifti(path, formula_volume((40, 44, 48), seed=9), np.diag([0.75, 0.5, 0.5, 1.0]))
    return path


@pytest.fixture(autouse=True)
def memory_kept(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the command set the allocator up, which here would last for all later tests."""
    calls: list[bool] = []
    monkeypatch.setattr("glianet.cli.keep_freed_memory", lambda: calls.append(True))
    return calls


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json_is_what_the_findings_file_holds(
    image: Path, formula_weights: Path, tmp_path: Path, memory_kept: list[bool]
) -> None:
    options = ("--weights", formula_weights, "--device", "cpu", "--step", 96, "--threshold", 0.6, "--exact")
    result = _run("predict", image, "-o", tmp_path / "out", "--json", *options)
    assert result.exit_code == 0, result.output
    assert result.stdout == (tmp_path / "out" / "findings.json").read_text()
    assert memory_kept == [True]
    document = json.loads(result.stdout)
    assert (document["step"], document["threshold"], document["exact"]) == (96, 0.6, True)
    assert document["detection_threshold"] == 0.7


def test_the_table_lists_lesions_files_and_notice(image: Path, formula_weights: Path, tmp_path: Path) -> None:
    result = _run("predict", image, "-o", tmp_path, "--weights", formula_weights, "--device", "cpu")
    assert result.exit_code == 0, result.output
    count = len(json.loads((tmp_path / "findings.json").read_text())["lesions"])
    assert f"{count} aneurysm candidate" in result.stdout
    assert str(tmp_path / "mask.nii.gz") in result.stdout
    assert "For research use only" in result.stdout


def test_nothing_found_is_said(image: Path, formula_weights: Path, tmp_path: Path) -> None:
    options = ("--weights", formula_weights, "--device", "cpu", "--threshold", 1)
    result = _run("predict", image, "-o", tmp_path, *options)
    assert result.exit_code == 0, result.output
    assert "No aneurysm found at a score above 1." in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.nii",), "none.nii: there is no such file or folder"),
        (
            ("{image}", "--weights", "none.safetensors"),
            "none.safetensors: the weights cannot be read (No such file",
        ),
        (("{image}", "--step", "0"), "step of the window: 0 is not between 1 and 96 voxels"),
        (("{image}", "--threshold", "2"), "lesion threshold: 2.0 is not between 0 and 1"),
        (("{image}", "--detection-threshold", "0.4"), "detection threshold: 0.4 is not between the lesion threshold"),
        (
            ("{image}", "--weights", "{weights}", "--device", "gpu"),
            "device 'gpu': it is no device name. Use ",
        ),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    image: Path, formula_weights: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    filled = [argument.format(image=image, weights=formula_weights) for argument in arguments]
    result = _run("predict", *filled, "-o", tmp_path / "out")
    assert result.exit_code == 2
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("glianet: ") and message in lines[0]
    assert "Traceback" not in result.output and not (tmp_path / "out").exists()


def test_results_that_cannot_be_written_are_status_1(
    image: Path, formula_weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    result = _run("predict", image, "-o", tmp_path / "file", "--weights", formula_weights, "--device", "cpu")
    assert result.exit_code == 1
    assert "the results cannot be written" in result.stderr


def test_version_and_help() -> None:
    assert _run("--version").stdout == f"glianet {__version__}\n"
    assert "predict" in _run("--help").stdout
