"""A checkpoint in the published format becomes a file of weights, by the library and by the command."""

import hashlib
import io
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from glianet import __version__
from glianet.checkpoint import load_network
from glianet.cli import app
from glianet.errors import WeightsError
from glianet.import_checkpoint import LICENCE_NOTICE, import_checkpoint
from glianet.windows import to_channels
from tests.glianet.formulas import formula_network, formula_volume, reference
from tests.support.checkpoints import RunsCommand, published, saved

AGREEMENT = 1e-4


@torch.inference_mode()
def test_the_imported_weights_compute_what_the_published_network_does(
    checkpoint: Path, tmp_path: Path
) -> None:
    import_checkpoint(checkpoint, tmp_path / "w.safetensors")
    network = load_network(tmp_path / "w.safetensors").network
    local, whole = (
        to_channels(torch.from_numpy(formula_volume((96, 96, 96), seed))[None]) for seed in (1, 2)
    )
    logits, risk = network(local, whole, [reference()["net0_bbox"].tolist()])
    expected = reference()["net0_logits"], reference()["net0_global"]
    np.testing.assert_allclose(logits[0, :, 4::8, 4::8, 4::8], expected[0], rtol=0, atol=AGREEMENT)
    np.testing.assert_allclose(risk[0], expected[1], rtol=0, atol=AGREEMENT)


def test_metadata_says_where_the_weights_come_from(checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "w.safetensors"
    imported = import_checkpoint(checkpoint, target)
    assert imported.source_sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert imported.target_sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
    counters = {"num_epoch": 7, "epoch_finished": True, "num_iteration": 4200, "best_eval_score": 0.625}
    assert imported.counters == counters
    assert load_network(target).metadata == {
        "made_by": f"import-checkpoint of glianet {__version__}",
        "source_file": "glia-net.pt",
        "source_sha256": imported.source_sha256,
        "architecture": {
            "name": "GLIA-Net",
            "source": "Bo et al., Patterns 2021",
            "tensors": 162,
            "parameters": 1_066_704,
        },
        "preprocessing": {
            "windows_hu": [[0, 100], [100, 200], [200, 800]],
            "patch_size": 96,
            "global_size": 96,
        },
        "training_counters": counters,
        "notice": LICENCE_NOTICE,
    }
    for part in ("file that you brought", "non-commercial research only", "Not for diagnosis"):
        assert part in LICENCE_NOTICE


def test_the_same_checkpoint_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    import_checkpoint(checkpoint, tmp_path / "a")
    torch.manual_seed(2)
    import_checkpoint(checkpoint, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("form", ["bare", "parallel", "only what must be there"])
def test_other_forms_of_the_format_are_read(form: str, zipped: bool, tmp_path: Path) -> None:
    state = formula_network().state_dict()
    content: dict[str, Any] = {
        "bare": state,
        "parallel": {"model_state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        "only what must be there": {"model_state_dict": state},
    }[form]
    source = saved(content, tmp_path / "c.pt", _use_new_zipfile_serialization=zipped)
    assert import_checkpoint(source, tmp_path / "w").counters == {}
    loaded = load_network(tmp_path / "w").network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("score", "kept"),
    [
        (np.float64(0.625), 0.625),
        (np.float32(0.625), 0.625),
        (3, 3),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ("0.625", None),
        (None, None),
    ],
)
def test_counters_are_kept_where_they_are_finite_numbers(
    score: Any, kept: float | None, tmp_path: Path
) -> None:
    source = saved(published() | {"best_eval_score": score}, tmp_path / "c.pt")
    counters = import_checkpoint(source, tmp_path / "w").counters
    assert counters.get("best_eval_score") == kept
    assert load_network(tmp_path / "w").metadata["training_counters"] == counters


def test_a_score_pickled_by_an_older_numpy_is_read(tmp_path: Path) -> None:
    content = io.BytesIO()
    score = published() | {"best_eval_score": np.float64(0.625)}
    torch.save(score, content, _use_new_zipfile_serialization=False)
    old = content.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert old != content.getvalue()
    (tmp_path / "c.pt").write_bytes(old)
    assert import_checkpoint(tmp_path / "c.pt", tmp_path / "w").counters["best_eval_score"] == 0.625


def test_a_file_in_the_way_stays_unless_told_otherwise(checkpoint: Path, tmp_path: Path) -> None:
    target = tmp_path / "w.safetensors"
    target.write_text("precious")
    with pytest.raises(WeightsError, match="exists already.*--overwrite") as caught:
        import_checkpoint(checkpoint, target)
    assert caught.value.where == str(target) and target.read_text() == "precious"
    import_checkpoint(checkpoint, target, overwrite=True)
    assert load_network(target).metadata["source_file"] == "glia-net.pt"


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import-checkpoint", *(str(argument) for argument in arguments)])


def test_the_command_says_what_it_read_and_wrote_and_what_to_do_next(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = _run(checkpoint, 'näme "1".safetensors')
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    target = tmp_path / 'näme "1".safetensors'
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (checkpoint, target)]
    counters = "num_epoch 7, epoch_finished True, num_iteration 4200, best_eval_score 0.625"
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        f"Read {checkpoint} (SHA-256 {digests[0]}, {counters})",
        f"Wrote {target.name} (SHA-256 {digests[1]})",
        LICENCE_NOTICE,
    ]
    assert "config.toml" in lines[3] and "[model]" in lines[3]
    assert tomllib.loads(lines[4]) == {"weights": [str(target)]}
    assert load_network(target).metadata["source_sha256"] == digests[0]


def test_bad_input_is_one_line_and_status_2(checkpoint: Path, tmp_path: Path) -> None:
    trap = saved({"trap": RunsCommand(f"touch {tmp_path}/was-run")}, tmp_path / "trap.pt")
    there = tmp_path / "there"
    there.write_text("in the way")
    for arguments, message in (
        ((tmp_path / "none.pt", tmp_path / "w"), "none.pt: the checkpoint cannot be read (No such file"),
        ((trap, tmp_path / "w"), "trap.pt: the checkpoint cannot be read (it holds code, which is not run"),
        ((checkpoint, there), "there: the file exists already. Give another name"),
    ):
        result = _run(*arguments)
        assert result.exit_code == 2
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1 and result.stdout == ""
        assert lines[0].startswith("glianet: ") and message in lines[0]
    assert not (tmp_path / "w").exists() and not (tmp_path / "was-run").exists()
    assert _run(checkpoint, there, "--overwrite").exit_code == 0


def test_weights_that_cannot_be_written_are_status_1(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    result = _run(checkpoint, tmp_path / "folder", "--overwrite")
    assert result.exit_code == 1
    assert "folder: the weights cannot be written" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
