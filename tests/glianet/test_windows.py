import numpy as np
import torch

from glianet.windows import to_channels


def test_each_window_goes_from_zero_to_one() -> None:
    hu = torch.tensor([-1000, 0, 25, 100, 150, 200, 500, 800, 3000], dtype=torch.int16).reshape(1, 1, 9)
    expected = [
        [0, 0, 0.25, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0.5, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 0.5, 1, 1],
    ]
    channels = to_channels(hu)
    assert channels.shape == (3, 1, 1, 9) and channels.dtype == torch.float32
    np.testing.assert_allclose(channels[:, 0, 0], expected)


def test_a_batch_is_channels_last() -> None:
    channels = to_channels(torch.zeros((2, 4, 5, 6), dtype=torch.int16))
    assert channels.shape == (2, 3, 4, 5, 6)
    assert channels.is_contiguous(memory_format=torch.channels_last_3d)
