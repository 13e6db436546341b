import pytest
import torch

from glianet.device import choose_device
from glianet.errors import DeviceError


def test_auto_takes_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")


def test_cuda_devices_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    assert choose_device("cuda").index == 0  # torch.cuda.set_device refuses a device without its number
    with pytest.raises(DeviceError, match="sees 2 CUDA devices"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:x", ""])
def test_other_names_are_refused_with_the_accepted_ones(name: str) -> None:
    with pytest.raises(DeviceError, match='Use "auto" or "cpu"'):
        choose_device(name)
