"""Stored values become Hounsfield units, or are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from dicom_node.dicom_file import read_headers
from dicom_node.frames import list_frames
from dicom_node.pixels import AIR_HU, iterate_hounsfield
from dicom_node.reasons import NotAnalysable, Reason
from tests.support.written_series import change, random_hu, write

HU = random_hu((2, 6, 7))


def read(path: Path) -> NDArray[np.int16]:
    """The one frame of a file."""
    (frame,) = iterate_hounsfield(path, list_frames(read_headers([path])[0]))
    return frame


def refusal(path: Path) -> NotAnalysable:
    with pytest.raises(NotAnalysable) as caught:
        read(path)
    return caught.value


def with_stored(path: Path, stored: list[int], kind: str, **attributes: Any) -> Path:
    """Put `stored` into the first pixels of a file, as 16-bit `kind` ("<i2", "<u2")."""
    dataset = dcmread(path)
    values = np.zeros(dataset.Rows * dataset.Columns, kind)
    values[: len(stored)] = stored
    dataset.PixelData = values.tobytes()
    dataset.save_as(path, enforce_file_format=True)
    change(path, **attributes)
    return path


@pytest.mark.parametrize(
    "storage",
    [
        {"signed": True, "intercept": 0.0},
        {"signed": True, "intercept": -1024.0},
        {"signed": False, "intercept": -1024.0},
        {"signed": False, "intercept": -1024.0, "bits_stored": 12},
        {"signed": True, "intercept": 0.0, "bits_stored": 12},
        {"signed": False, "intercept": -1024.0, "slope": 0.5},
    ],
)
def test_sign_bits_slope_and_intercept_are_honoured(tmp_path: Path, storage: dict[str, Any]) -> None:
    paths = write(tmp_path, HU, **storage)
    assert np.array_equal(np.stack([read(path) for path in paths]), HU)


@pytest.mark.parametrize(
    ("slope", "intercept", "kind", "stored", "expected"),
    [
        (1.0, -32768.0, "<u2", [0, 65535], [-32768, 32767]),
        (1.0, 0.0, "<i2", [-32768, 32767], [-32768, 32767]),
        (3.0, -2000.0, "<i2", [-10000, 11589], [-32000, 32767]),
        (0.5, -1024.0, "<u2", [1, 3, 65535], [-1024, -1022, 31744]),  # -1023.5, -1022.5, 31743.5: to the even
        (0.5, -1024.5, "<u2", [1, 2], [-1024, -1024]),  # -1024, and -1023.5 to the even
    ],
)
def test_whole_and_broken_slopes_up_to_the_ends_of_int16(
    tmp_path: Path, slope: float, intercept: float, kind: str, stored: list[int], expected: list[int]
) -> None:
    path = with_stored(
        write(tmp_path, HU, signed=kind == "<i2")[0], stored, kind, RescaleSlope=slope, RescaleIntercept=intercept
    )
    assert read(path).flat[: len(stored)].tolist() == expected


@pytest.mark.parametrize(
    ("slope", "intercept", "named"),
    [
        (1.0, -32769.0, "-32769"),  # of the pixels that are 0
        (65536.0, 0.0, "4.2949e+09"),  # 65535 * 65536, which would be -65536 in 32 bits
        (1.0, 4294967296.0, "4.29497e+09"),  # which would be 0 in 32 bits
        (1e300, 0.0, "6.5535e+304"),
    ],
)
def test_values_that_would_wrap_round_are_refused(
    tmp_path: Path, slope: float, intercept: float, named: str
) -> None:
    path = with_stored(
        write(tmp_path, HU, signed=False)[0], [65535], "<u2", RescaleSlope=slope, RescaleIntercept=intercept
    )
    caught = refusal(path)
    assert (caught.reason, named in caught.detail) == (Reason.HOUNSFIELD_UNAVAILABLE, True), caught.detail


def test_values_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    """Slope 0.4, intercept -1000.1: -1000.1, -999.7, -999.3, -998.9, -998.5 (to even), 0.7."""
    path = with_stored(
        write(tmp_path, HU)[0], [0, 1, 2, 3, 4, 2502], "<i2", RescaleSlope=0.4, RescaleIntercept=-1000.1
    )
    assert read(path).flat[:6].tolist() == [-1000, -1000, -999, -999, -998, 1]


def test_bits_above_the_stored_ones_are_ignored(tmp_path: Path) -> None:
    """An overlay in the four highest bits, as old scanners packed it; 0x0FFF is -1 where 12 bits have a sign."""
    path = with_stored(
        write(tmp_path, HU, bits_stored=12, signed=True, intercept=0.0)[0],
        [0x0FFF, 0xFFFF, 0x8005, 0x07FF],
        "<u2",
    )
    assert read(path).flat[:4].tolist() == [-1, -1, 5, 2047]


def with_padding(path: Path, vr: str, value: int, limit: int | None = None) -> Path:
    dataset = dcmread(path)
    dataset.add_new("PixelPaddingValue", vr, value)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", vr, limit)
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_padding_becomes_air(tmp_path: Path) -> None:
    path = with_stored(write(tmp_path, HU, padding=-2000)[0], [-2000, -1999, 1024], "<i2")
    assert read(path).flat[:3].tolist() == [AIR_HU, -3023, 0]


@pytest.mark.parametrize("ends", [(-2000, -1900), (-1900, -2000)])
def test_padding_range_in_either_order(tmp_path: Path, ends: tuple[int, int]) -> None:
    path = with_padding(write(tmp_path, HU)[0], "SS", *ends)
    with_stored(path, [-2001, -2000, -1950, -1900, -1899], "<i2")
    assert read(path).flat[:5].tolist() == [-3025, AIR_HU, AIR_HU, AIR_HU, -2923]


def test_padding_written_without_its_sign(tmp_path: Path) -> None:
    """63536 is -2000 in 16 bits, as scanners have written it under VR US."""
    path = with_stored(write(tmp_path, HU)[0], [-2000, 1024], "<i2")
    assert read(with_padding(path, "US", 63536)).flat[:2].tolist() == [AIR_HU, 0]


def test_padding_that_could_be_tissue_is_refused(tmp_path: Path) -> None:
    caught = refusal(write(tmp_path, HU, padding=0, intercept=0.0)[0])
    assert caught.reason is Reason.PIXEL_FORMAT and "0 HU" in caught.detail


def test_values_outside_int16_are_refused_not_clipped(tmp_path: Path) -> None:
    path = with_stored(
        write(tmp_path, HU, signed=False)[0], [65535], "<u2", RescaleIntercept=-1024, RescaleSlope=1
    )
    caught = refusal(path)
    assert (caught.reason, "64511" in caught.detail) == (Reason.HOUNSFIELD_UNAVAILABLE, True)


@pytest.mark.parametrize(
    "attributes",
    [
        {"SamplesPerPixel": 3},
        {"BitsAllocated": 8},
        {"BitsAllocated": 32},
        {"BitsStored": 0, "HighBit": -1 & 0xFFFF},
        {"BitsStored": 17, "HighBit": 16},
        {"BitsStored": 12, "HighBit": 15},
        {"PixelRepresentation": 2},
        {"PhotometricInterpretation": "RGB"},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"BitsStored": None},
    ],
)
def test_formats_that_no_ct_has_are_refused(tmp_path: Path, attributes: dict[str, Any]) -> None:
    path = write(tmp_path, HU)[0]
    change(path, **attributes)
    assert refusal(path).reason is Reason.PIXEL_FORMAT


@pytest.mark.parametrize("cut", [0, 2, 82])
def test_missing_pixels_are_refused(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path, HU)[0]
    dataset = dcmread(path)
    dataset.PixelData = dataset.PixelData[:cut]
    dataset.save_as(path, enforce_file_format=True)
    assert refusal(path).reason is Reason.PIXEL_DATA_UNREADABLE


def test_no_pixel_data_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HU)[0]
    change(path, PixelData=None)
    assert refusal(path).reason is Reason.PIXEL_DATA_UNREADABLE


def test_missing_file_is_an_error_of_the_disk(tmp_path: Path) -> None:
    path = write(tmp_path, HU)[0]
    frames = list_frames(read_headers([path])[0])
    path.unlink()
    with pytest.raises(FileNotFoundError):
        list(iterate_hounsfield(path, frames))
