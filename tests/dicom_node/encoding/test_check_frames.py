import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.encoding.check_frames import stored_pixels
from dicom_node.errors import NodeError


def dataset(data: bytes, bits: int, frames: int = 3) -> Dataset:
    made = Dataset()
    made.NumberOfFrames, made.Rows, made.Columns, made.BitsAllocated = frames, 3, 5, bits
    made.PixelData = data
    return made


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_frames_are_unpacked_one_by_one_also_where_they_begin_within_a_byte(bits: int) -> None:
    """Three frames of 15 pixels: the second begins at bit 15, the third at bit 30."""
    frames = np.random.default_rng(3).integers(0, 2, (3, 3, 5)).astype(f"<u{max(bits // 8, 1)}")
    data = np.packbits(frames, bitorder="little").tobytes() if bits == 1 else frames.tobytes()
    assert np.array_equal(list(stored_pixels(dataset(data, bits))), frames)


def test_bytes_that_do_not_reach_are_an_error() -> None:
    """45 bits need six bytes."""
    with pytest.raises(NodeError, match="shorter than the frames need"):
        list(stored_pixels(dataset(bytes(5), 1)))
