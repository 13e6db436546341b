import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch

from glianet.errors import WeightsError
from glianet.weights_file import DEFAULT_WEIGHTS, read_metadata, weights_sha256


def test_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"weights" * 100_000)
    assert weights_sha256(path) == hashlib.sha256(b"weights" * 100_000).hexdigest()


def test_metadata_of_a_fresh_network(formula_weights: Path) -> None:
    assert read_metadata(formula_weights) == {"made_by": "formula"}


def test_a_file_of_another_program_has_no_metadata(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "w", metadata={"format": "pt"})
    assert read_metadata(tmp_path / "w") == {}


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 100, b"\x02" + bytes(7) + b"[]", b"\x05" + bytes(7) + b"{oops"]
)
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_metadata(path)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    for read in (read_metadata, weights_sha256):
        with pytest.raises(WeightsError, match="No such file"):
            read(tmp_path / "w")


def test_default_weights_belong_to_the_package() -> None:
    assert DEFAULT_WEIGHTS.parts[-3:] == ("glianet", "weights", "glianet-phantom.safetensors")
