"""The commands as a user types them."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from glianet.checkpoint import save_network
from glianet.network import GLIANet
from tests.training.metrics.made_masks import SPACING_MM, made_masks
from training.cli import app
from training.manifest import read_manifest
from training.metrics.case_score import score_case
from training.results import RunResults, load_results, save_results
from training.run_log import read_log

SMALL = ["--slices", "40", "--matrix", "128", "--slice-spacing", "1.0", "--in-plane", "1.8"]
TINY = ["--slices", "24", "--matrix", "96", "--slice-spacing", "1.0", "--in-plane", "1.8"]


def _run(*arguments: str):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(app, list(arguments))


def test_phantoms_writes_a_folder_each_and_a_manifest(tmp_path: Path) -> None:
    result = _run("phantoms", str(tmp_path), "--count", "2", "--seed", "900100", "--aneurysms", "1", *SMALL)
    assert result.exit_code == 0, result.output
    names = ["manifest.csv", "phantom-900100", "phantom-900101"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    truth = json.loads((tmp_path / "phantom-900101" / "truth.json").read_text())
    assert truth["shape"] == [40, 128, 128] and truth["spacing_mm"] == pytest.approx([1.0, 1.8, 1.8])
    assert len(read_manifest(tmp_path / "manifest.csv")) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--generator", "own"), "'own' is none of standard, varied"),
        (("--trees", "x"), "--template and --trees are for --generator varied"),
        (("--aneurysms", "3-1"), "number of aneurysms (3, 1)"),
        (("--aneurysms", "many"), "the phantoms:"),
    ],
)
def test_options_that_contradict_are_told(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    result = _run("phantoms", str(tmp_path), *TINY, *options)
    assert result.exit_code == 2 and message in result.output


def test_evaluate_on_phantoms_counts_what_was_planted(tmp_path: Path) -> None:
    weights, output = tmp_path / "weights.safetensors", tmp_path / "results.json"
    save_network(GLIANet(), weights, {})
    options = ("--count", "1", "--seed", "900100", "--step", "96", "--json", "--output", str(output), *TINY)
    result = _run("evaluate", str(weights), *options, "--aneurysms", "2", "--model", "ours", "--flip", "left-right")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    (case,) = document["cases"]
    assert case["case"] == "phantom-900100" and document["all"]["cases"] == 1
    results = load_results(output)
    assert (results.model, results.dataset) == ("ours", "1 standard phantoms") and results.made["window_step"] == 96
    assert (results.made["weights"], results.made["flips"]) == ("weights.safetensors", ["left-right"])


def test_a_training_on_a_manifest_and_its_evaluation(tmp_path: Path) -> None:
    """The way of an engineer, in small: phantoms, a manifest with splits, training, export, evaluation."""
    assert _run("phantoms", str(tmp_path / "cases"), "--count", "2", "--aneurysms", "1", *TINY).exit_code == 0
    manifest = tmp_path / "cases" / "manifest.csv"
    header, first, second = manifest.read_text().splitlines()
    place = header.split(",").index("split")
    for split, row in (("train", first), ("test", second)):
        cells = row.split(",")
        cells[place] = split
        header += "\n" + ",".join(cells)
    manifest.write_text(header + "\n")
    changes = {
        "data.manifest": manifest, "run.steps": 1, "run.validate_every": 0, "patches.size": 16, "patches.jitter": 2,
        "patches.batch": 1, "patches.cases": 1, "run.device": "cpu", "run.precision": "float32", "run.threads": 1,
    }  # fmt: skip
    options = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    run, weights = tmp_path / "run", tmp_path / "weights.safetensors"
    result = _run("train", str(run), "--preset", "paper", *options)
    assert result.exit_code == 0, result.output
    assert np.isfinite(read_log(run)[0]["loss"])
    result = _run("train", str(run), "--set", "run.steps=2")
    assert result.exit_code == 0, result.output
    said = [line for line in result.stderr.splitlines() if "goes on" in line]
    assert said == ["goes on with run.steps: 1 -> 2"]
    assert [row["step"] for row in read_log(run)] == [1, 2]
    kept = json.loads((run / "recipe.json").read_text())
    assert (kept["data"]["manifest"], kept["patches"]["size"]) == (str(manifest), 16), "not the paper's again"
    assert _run("export", str(run), str(weights)).exit_code == 0
    for trained in (weights, run / "checkpoint.pt"):
        result = _run("evaluate", str(trained), "--manifest", str(manifest), "--step", "96", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["all"]["cases"] == 1
    result = _run("figures", str(weights), "--manifest", str(manifest), "--output", str(tmp_path / "figures"))
    assert result.exit_code == 0, result.output
    assert {"segmentation.png", "risk.png"} <= {path.name for path in (tmp_path / "figures").iterdir()}


def test_mistakes_are_one_line_without_a_traceback(tmp_path: Path) -> None:
    result = _run("evaluate", str(tmp_path / "none.safetensors"))
    assert result.exit_code == 2 and "none.safetensors" in result.output
    result = _run("evaluate", str(tmp_path / "none.safetensors"), "--flip", "up-down")
    assert result.exit_code == 2 and "not each a different one of head-foot, front-back, left-right" in result.output
    result = _run("train", str(tmp_path / "run"), "--set", "run.stepz=1")
    assert result.exit_code == 2 and "run.stepz: it is unknown" in result.output
    result = _run("train", str(tmp_path / "run"), "--set", "run.steps")
    assert result.exit_code == 2 and "it has not the form KEY=VALUE" in result.output
    result = _run("train", str(tmp_path / "run"), "--set", "model=own", "--set", "run.device=cpu")
    assert result.exit_code == 2 and "model 'own' is unknown" in result.output
    result = _run("export", str(tmp_path), str(tmp_path / "w.safetensors"))
    assert result.exit_code == 2 and "the recipe of the training cannot be read" in result.output


def test_presets_are_listed_with_what_they_are() -> None:
    result = _run("presets")
    assert "published: The published configuration" in result.stdout and "phantoms:" in result.stdout


def _results(path: Path, model: str, run: str) -> str:
    scores = tuple(score_case(*made_masks(seed), SPACING_MM, f"case {seed}") for seed in (0, 1))
    save_results(path, RunResults(model, "made", run, {"step": 48}, scores))
    return str(path)


def test_a_report_is_written_of_several_models(tmp_path: Path) -> None:
    files = [_results(tmp_path / f"{name}.json", name, "1") for name in ("glianet", "unet3d")]
    html, markdown = tmp_path / "report.html", tmp_path / "report.md"
    result = _run("report", *files, "--html", str(html), "--markdown", str(markdown))
    assert result.exit_code == 0, result.output
    assert "unet3d" in markdown.read_text() and "For research use only" in html.read_text()
    assert _run("report", *files).exit_code == 2
    result = _run("report", str(tmp_path / "none.json"), "--html", str(html))
    assert result.exit_code == 2 and "none.json: it cannot be read as results" in result.output


def test_mistakes_of_a_reader_study_are_told(tmp_path: Path) -> None:
    result = _run("readers", str(tmp_path / "none.csv"), "--manifest", "m.csv", "--html", str(tmp_path / "r.html"))
    assert result.exit_code == 2 and "none.csv" in result.output
    options = ("--series", "1.2.3", "--output", str(tmp_path / "draft.csv"))
    result = _run("readings-from-audit", str(tmp_path / "audit.jsonl"), str(tmp_path / "seg.dcm"), *options)
    assert result.exit_code == 2 and "SERIES_UID=CASE" in result.output


def test_cases_are_checked_and_divided(tmp_path: Path) -> None:
    assert _run("phantoms", str(tmp_path), "--count", "3", "--aneurysms", "1", *TINY).exit_code == 0
    manifest, divided = tmp_path / "manifest.csv", tmp_path / "split.csv"
    result = _run("cases", "check", str(manifest), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["total"]["cases"] == 3
    assert "aneurysm" in _run("cases", "check", str(manifest)).stdout
    shares = ("--train", "0.34", "--validation", "0.33", "--test", "0.33")
    result = _run("cases", "split", str(manifest), "--output", str(divided), *shares, "--read")
    assert result.exit_code == 0, result.output
    assert sorted(case.split for case in read_manifest(divided)) == ["test", "train", "validation"]
    (tmp_path / "phantom-900001" / "image.nii.gz").unlink()
    result = _run("cases", "check", str(manifest))
    assert result.exit_code == 2 and "phantom-900001: the image cannot be read" in result.output


def test_an_import_without_a_key_is_told(tmp_path: Path) -> None:
    result = _run("cases", "import", str(tmp_path), str(tmp_path / "out"), "--key", str(tmp_path / "none.txt"))
    assert result.exit_code == 2 and "none.txt" in result.output
