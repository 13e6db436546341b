"""Checkpoints that are refused, with their reason and no file left: wrong tensors, code, damage, too large."""

import argparse
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glianet.errors import WeightsError
from glianet.import_checkpoint import import_checkpoint
from tests.glianet.formulas import formula_network
from tests.support.checkpoints import RunsCommand, published, saved


def _refused(source: Path) -> WeightsError:
    """The error of an import that must fail and leave no file."""
    target = source.parent / "refused.safetensors"
    with pytest.raises(WeightsError) as caught:
        import_checkpoint(source, target)
    assert caught.value.where == str(source) and caught.value.advice
    assert not target.exists()
    return caught.value


def test_every_wrong_tensor_is_named(tmp_path: Path) -> None:
    content = published()
    state = content["model_state_dict"]
    del state["output_conv.bias"]
    state["module.output_conv.bias"] = torch.zeros(2)
    state["output_conv.weight"] = torch.zeros(3, 16, 3, 3, 3)
    state["localizer_loss.bn1.bias"][3] = torch.nan
    state["localizer_loss.bn1.weight"][0] = torch.inf
    for name, dtype in (
        ("localizer_loss.conv2.bias", torch.float64),
        ("localizer_adaptor.0.conv.bias", torch.float16),
        ("localizer_adaptor.1.conv.bias", torch.bfloat16),
    ):
        state[name] = state[name].to(dtype)
    error = _refused(saved(content, tmp_path / "c.pt"))
    assert error.what.startswith(
        "the weights are not those of GLIA-Net (1 missing, 1 unknown, 6 unfit of 162 tensors): "
    )
    for part in (
        "output_conv.bias is missing",
        "module.output_conv.bias is not of this network",
        "output_conv.weight has shape (3, 16, 3, 3, 3) instead of (2, 16, 3, 3, 3)",
        "localizer_loss.bn1.bias holds a value that is not finite",
        "localizer_loss.bn1.weight holds a value that is not finite",
        "localizer_loss.conv2.bias is torch.float64 instead of torch.float32",
        "localizer_adaptor.0.conv.bias is torch.float16 instead of torch.float32",
        "localizer_adaptor.1.conv.bias is torch.bfloat16 instead of torch.float32",
    ):
        assert part in error.what
    assert error.what.count(";") == 7


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_code_in_a_checkpoint_is_not_run(zipped: bool, tmp_path: Path) -> None:
    trap = RunsCommand(f"touch {tmp_path}/was-run")
    source = saved(published() | {"extra": trap}, tmp_path / "c.pt", _use_new_zipfile_serialization=zipped)
    assert _refused(source).what.endswith(f"(it holds code, which is not run: {os.system.__module__}.system)")
    assert not (tmp_path / "was-run").exists()
    torch.load(source, weights_only=False)
    assert (tmp_path / "was-run").exists()  # the trap was one


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"options": argparse.Namespace()}, "argparse.Namespace"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
        (published() | {"best_eval_score": np.complex128(1)}, "numpy.dtypes.Complex128DType"),
    ],
)
def test_what_pickle_asked_for_is_named(content: Any, code: str, tmp_path: Path) -> None:
    error = _refused(saved(content, tmp_path / "c.pt"))
    assert error.what.endswith(f"(it holds code, which is not run: {code})")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_is_code(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), tmp_path / "c.pt")
    assert "it holds code, which is not run: TorchScript" in _refused(tmp_path / "c.pt").what


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.999999])
def test_a_truncated_checkpoint_is_refused(share: float, zipped: bool, tmp_path: Path) -> None:
    source = saved(published(), tmp_path / "c.pt", _use_new_zipfile_serialization=zipped)
    content = source.read_bytes()
    source.write_bytes(content[: int(share * len(content))])
    assert "damaged, cut short" in _refused(source).what


def test_one_wrong_bit_in_the_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    """torch itself does not look at the checksums of the archive."""
    content = bytearray(checkpoint.read_bytes())
    values = formula_network().state_dict()["output_conv.weight"].numpy().tobytes()
    content[content.index(values)] ^= 1
    (tmp_path / "c.pt").write_bytes(content)
    torch.load(tmp_path / "c.pt", weights_only=True)
    assert "damaged, cut short" in _refused(tmp_path / "c.pt").what


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "it is no file that torch.save wrote"),
        (b"<!DOCTYPE html><html>Sign in</html>", "it is no file that torch.save wrote"),
        (b"PK\x03\x04" * 40, "not written by torch.save"),
        (pickle.dumps({"model_state_dict": {}}, protocol=2), "not written by torch.save"),
        (pickle.dumps({"model_state_dict": {}}), "not written by torch.save"),
    ],
)
def test_what_torch_did_not_write_is_refused(content: bytes | None, reason: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "c.pt").write_bytes(content)
    assert reason in _refused(tmp_path / "c.pt").what


def test_a_safetensors_file_is_refused(formula_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_bytes(formula_weights.read_bytes())
    assert "it is no file that torch.save wrote" in _refused(tmp_path / "c.pt").what


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "Is a directory" in _refused(tmp_path).what


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "it holds no model_state_dict"),
        ({}, "it holds no model_state_dict"),
        ({"num_epoch": 3, "state_dict": {}}, "it holds no model_state_dict"),
        ({"model_state_dict": {}}, "its model_state_dict is no dict of names and dense tensors"),
        ({"model_state_dict": [torch.zeros(1)]}, "is no dict of"),
        ({"model_state_dict": {"output_conv.bias": 3.0}}, "is no dict of"),
        ({"model_state_dict": {4: torch.zeros(1)}}, "is no dict of"),
        ({"model_state_dict": {"two\nlines": torch.zeros(1)}}, "is no dict of"),
        ({"model_state_dict": {"output_conv.bias": torch.zeros(2).to_sparse()}}, "is no dict of"),
        ({"model_state_dict": {"output_conv.bias": torch.zeros(2, device="meta")}}, "is no dict of"),
    ],
)
def test_a_checkpoint_without_a_state_dict_is_refused(content: Any, reason: str, tmp_path: Path) -> None:
    assert reason in _refused(saved(content, tmp_path / "c.pt")).what


def test_a_file_beyond_the_bound_is_refused_before_it_is_loaded(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glianet.import_checkpoint.LARGEST_BYTES", 2 << 20)
    monkeypatch.setattr(torch, "load", None)
    (tmp_path / "c.pt").write_bytes(checkpoint.read_bytes())
    assert _refused(tmp_path / "c.pt").what == "the checkpoint cannot be read (it is larger than 2 MiB)"


def test_an_archive_that_unpacks_beyond_the_bound_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glianet.import_checkpoint.LARGEST_BYTES", 1 << 20)
    monkeypatch.setattr(torch, "load", None)
    with zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2 << 20))
    assert (tmp_path / "c.pt").stat().st_size < 1 << 14
    error = _refused(tmp_path / "c.pt")
    assert str(error.__cause__) == "it unpacks to too much"
