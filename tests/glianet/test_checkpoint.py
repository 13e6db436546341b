import hashlib
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch

from glianet.checkpoint import load_network, save_network
from glianet.errors import WeightsError
from glianet.network import GLIANet

METADATA = {"made_by": "test", "steps": 12, "figures": {"dice": 0.5}}


@pytest.fixture
def network() -> GLIANet:
    torch.manual_seed(5)
    return GLIANet()


def test_weights_metadata_and_digest_come_back(network: GLIANet, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_network(network, path, METADATA)
    loaded = load_network(path)
    assert loaded.metadata == METADATA
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not loaded.network.training
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(loaded.network.state_dict()[name], tensor, rtol=0, atol=0)


def test_the_same_weights_are_the_same_bytes(network: GLIANet, tmp_path: Path) -> None:
    save_network(network, tmp_path / "a", METADATA)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    save_network(network, tmp_path / "b", dict(reversed(METADATA.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_wrong_tensor_is_named(network: GLIANet, tmp_path: Path) -> None:
    tensors = network.state_dict()
    del tensors["output_conv.bias"], tensors["encoder_blocks.0.residual_block1.bn1.weight"]
    tensors["output_conv.extra"] = torch.zeros(1)
    tensors["output_conv.weight"] = torch.zeros(3, 16, 3, 3, 3)
    tensors["localizer_loss.conv2.bias"] = torch.zeros(2, dtype=torch.float64)
    tensors["localizer_loss.bn1.bias"][3] = torch.nan
    safetensors.torch.save_file(tensors, tmp_path / "w")
    with pytest.raises(WeightsError) as caught:
        load_network(tmp_path / "w")
    for part in (
        "output_conv.bias is missing",
        "encoder_blocks.0.residual_block1.bn1.weight is missing",
        "output_conv.extra is not of this network",
        "output_conv.weight has shape (3, 16, 3, 3, 3) instead of (2, 16, 3, 3, 3)",
        "localizer_loss.conv2.bias is torch.float64 instead of torch.float32",
        "localizer_loss.bn1.bias holds a value that is not finite",
    ):
        assert part in caught.value.what
    assert caught.value.what.count(";") == 5


def test_of_another_network_a_start_names_twelve_tensors_and_how_many_there_are(tmp_path: Path) -> None:
    """The error stands in a node's log and database; import-checkpoint names all."""
    safetensors.torch.save_file({"weight": torch.zeros(1)}, tmp_path / "w")
    with pytest.raises(WeightsError, match="162 missing, 1 unknown, 0 unfit of 162 tensors") as caught:
        load_network(tmp_path / "w")
    assert caught.value.what.count(" is missing") == 12 and caught.value.what.endswith("; and others")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"", "cannot be read"), (b"PK" * 40, "cannot be read")]
)
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "w"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        load_network(path)
    assert re.search("safetensors", caught.value.advice) and caught.value.where == str(path)
