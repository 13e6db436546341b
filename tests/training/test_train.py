"""Whole trainings on small cases: they learn, and go on where they were stopped, bit by bit."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from glianet.checkpoint import load_network
from tests.training.made_cases import bright_ball
from training.export import export_weights
from training.load_recipe import load_recipe
from training.manifest import CasesError, ManifestCase, write_manifest
from training.nifti import write_grid
from training.run_log import read_log
from training.state import load_trained, read_checkpoint
from training.train import train

SMALL = {
    "patches.size": 24, "patches.jitter": 6, "patches.batch": 2, "patches.cases": 1, "run.threads": 1,
    "run.precision": "float32", "run.device": "cpu", "run.validate_every": 0, "run.checkpoint_every": 2,
    "optimiser.global_every": 4, "optimiser.average": 0.9, "patches.mistake_share": 0.5, "optimiser.rate": 1e-3,
}  # fmt: skip
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cases to train on, one of them again to validate on."""
    folder = tmp_path_factory.mktemp("cases")
    affine = np.array([[0, 0, 0.5, 0], [0, 0.5, 0, 0], [0.6, 0, 0, 0], [0, 0, 0, 1.0]])
    cases = []
    for seed, split in ((1, "train"), (2, "train"), (3, "validation")):
        hu, mask = bright_ball(seed, side=48)
        write_grid(folder / f"{seed}.nii.gz", hu, affine)
        write_grid(folder / f"{seed}-label.nii.gz", mask.astype(np.uint8), affine)
        files = folder / f"{seed}.nii.gz", folder / f"{seed}-label.nii.gz"
        cases.append(ManifestCase(str(seed), *files, patient=str(seed), split=split))
    write_manifest(folder / "cases.csv", cases)
    return folder / "cases.csv"


def _train(folder: Path, manifest: Path, **changes: object) -> Path:
    given = {key.replace("__", "."): value for key, value in changes.items()}
    train(folder, load_recipe(changes=SMALL | {"data.manifest": str(manifest)} | given))
    return folder


def test_a_training_that_was_stopped_ends_with_the_same_bits(tmp_path: Path, manifest: Path) -> None:
    whole = _train(tmp_path / "whole", manifest, run__steps=4)
    parts = _train(tmp_path / "parts", manifest, run__steps=2)
    _train(parts, manifest, run__steps=4)
    first, second = (read_checkpoint(folder / "checkpoint.pt") for folder in (whole, parts))
    assert first["step"] == second["step"] == 4
    for part in ("model", "average"):
        assert all(torch.equal(tensor, second[part][name]) for name, tensor in first[part].items())
    logs = [[{k: v for k, v in entry.items() if k != "seconds"} for entry in read_log(f)] for f in (whole, parts)]
    assert logs[0] == logs[1] and [entry["step"] for entry in logs[0]] == [1, 2, 3, 4]


def test_a_finished_training_does_nothing_more(tmp_path: Path, manifest: Path) -> None:
    folder = _train(tmp_path / "run", manifest, run__steps=1)
    before = (folder / "checkpoint.pt").read_bytes()
    _train(folder, manifest, run__steps=1)
    assert (folder / "checkpoint.pt").read_bytes() == before and len(read_log(folder)) == 1


def test_validation_keeps_the_best_and_the_summary_says_so(tmp_path: Path, manifest: Path) -> None:
    folder = _train(tmp_path / "run", manifest, run__steps=1, run__validate_every=1, run__validation_step=96)
    (validated,) = [entry for entry in read_log(folder) if "validation_score" in entry]
    assert validated["step"] == 1 and 0 <= validated["validation_score"] <= 1
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["steps"] == 1 and summary["best_validation_score"] == validated["validation_score"]
    assert load_trained(folder / "best.pt").name == "glianet"


def test_exported_weights_are_the_running_mean(tmp_path: Path, manifest: Path) -> None:
    folder = _train(tmp_path / "run", manifest, run__steps=1)
    assert export_weights(folder, tmp_path / "weights.safetensors").name == "checkpoint.pt"
    loaded = load_network(tmp_path / "weights.safetensors")
    expected = load_trained(folder / "checkpoint.pt").network.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.network.state_dict().items())
    assert loaded.metadata["training_steps"] == 1 and "Research use only" in loaded.metadata["notice"]


def test_exported_weights_name_every_stage_that_led_to_them(tmp_path: Path, manifest: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    export_weights(_train(tmp_path / "one", manifest, run__steps=1, run__seed=7), first)
    export_weights(_train(tmp_path / "two", manifest, run__steps=2, run__initial_weights=str(first)), second)
    digest = hashlib.sha256(first.read_bytes()).hexdigest()
    first.unlink()  # what it began with is known from the start
    metadata = load_network(second).metadata
    assert metadata["training_steps"] == 2
    began = metadata["began_with"]
    assert began["sha256"] == digest and began["training_seed"] == 7 and began["training_steps"] == 1
    assert began["began_with"] is None


def test_another_threshold_moves_the_bias_of_the_aneurysms_output_by_its_logit(tmp_path: Path, manifest: Path) -> None:
    """A voxel of probability 0.8 has 0.5 afterwards: its margin, ln 4, is gone."""
    folder = _train(tmp_path / "run", manifest, run__steps=1)
    before, after = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    export_weights(folder, before)
    export_weights(folder, after, threshold=0.8)
    old, new = (load_network(path).network.state_dict() for path in (before, after))
    moved = {name for name in old if not torch.equal(old[name], new[name])}
    assert moved == {"output_conv.bias"}
    assert (old["output_conv.bias"] - new["output_conv.bias"]).tolist() == pytest.approx([0, 1.386294], abs=1e-5)
    assert load_network(after).metadata["threshold_at_half"] == 0.8


def test_a_manifest_without_validation_cases_is_refused_at_the_start(tmp_path: Path, manifest: Path) -> None:
    cases = tmp_path / "cases.csv"
    files = manifest.parent / "1.nii.gz", manifest.parent / "1-label.nii.gz"
    write_manifest(cases, [ManifestCase("1", *files, patient="1", split="train")])
    with pytest.raises(CasesError, match='no case of the split "validation" has a label'):
        _train(tmp_path / "run", cases, run__validate_every=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_tiny_set_is_overfitted(tmp_path: Path, manifest: Path) -> None:
    """The loss falls, and the aneurysms of the two cases are known by heart."""
    folder = _train(
        tmp_path / "run", manifest, run__steps=75, run__checkpoint_every=75, optimiser__global_every=20,
        optimiser__rate=4e-3, optimiser__average=0.0, optimiser__schedule="linear", patches__mistake_share=0.3,
        loss__dice="batch", run__threads=2,
    )  # fmt: skip
    log = read_log(folder)
    first, last = (np.mean([entry["loss"] for entry in part]) for part in (log[:10], log[-10:]))
    assert last < 0.5 * first
    overlaps = [entry["overlap"] for entry in log[-20:] if entry["overlap"] is not None]
    assert np.mean(overlaps) > 0.8


@pytest.mark.slow
def test_two_processes_by_torchrun_train_one_network(tmp_path: Path, manifest: Path) -> None:
    """One alone writes; with the mean of the gradients the weights differ from those of one process alone."""
    changes = SMALL | {"data.manifest": manifest, "run.steps": 2, "patches.batch": 1}
    options = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    start = [*torchrun, "-m", "training.run"]
    subprocess.run([*start, str(tmp_path / "two"), *options], check=True, timeout=240, env=os.environ | ONE_THREAD)
    assert [entry["step"] for entry in read_log(tmp_path / "two")] == [1, 2]
    alone = _train(tmp_path / "one", manifest, run__steps=2, patches__batch=1)
    first, second = (read_checkpoint(folder / "checkpoint.pt") for folder in (tmp_path / "two", alone))
    assert first["step"] == second["step"] == 2
    assert any(not torch.equal(tensor, second["model"][name]) for name, tensor in first["model"].items())
