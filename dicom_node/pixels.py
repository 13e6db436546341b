"""The stored pixels of an instance as Hounsfield units, or a coded refusal."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels import iter_pixels

from dicom_node.codestreams import check_codestreams
from dicom_node.dicom_file import read_file
from dicom_node.frames import DAMAGED, Frame, read_integer, read_value
from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.transfer_syntaxes import COMPRESSED_LOSSLESS, DECODING_PLUGINS

Slice = npt.NDArray[np.int16]

AIR_HU = -1000  # what padding (outside the reconstructed circle) becomes
HIGHEST_PADDING_HU = -500  # padding above it would be tissue: nothing tells the one from the other
BITS_ALLOCATED = 16  # PS3.3 C.8.2.1: CT images have 16 bits allocated, 12 to 16 stored
SMALLEST_HU, LARGEST_HU = np.iinfo(np.int16).min, np.iinfo(np.int16).max
WHOLE_HU_BELOW = 2**31  # magnitudes that int32 holds, and float64 without rounding
UNDECODABLE = (*DAMAGED, RuntimeError)  # what decoders raise on damaged pixels


def iterate_hounsfield(path: Path, frames: Sequence[Frame]) -> Iterator[Slice]:
    """The frames of the instance in `path`, in stored order: each (rows, columns) int16 HU.

    frames: all frames of its header. HU = stored value * RescaleSlope + RescaleIntercept of the frame
    (PS3.3 C.11.1), rounded to the nearest whole number. Values from PixelPaddingValue to
    PixelPaddingRangeLimit (PS3.3 C.7.5.1.1.2) become AIR_HU.

    Raises:
        NotAnalysable: pixel format, damaged pixels, values outside int16, padding that looks like tissue.
        OSError: the file cannot be read.
    """
    header = frames[0].header
    _check_format(header)
    padding = _padding_range(header)
    number = 0
    for number, stored in enumerate(_iterate_stored(path, header), start=1):
        if number <= len(frames):
            yield _to_hounsfield(stored, frames[number - 1], padding)
    if number != len(frames):
        raise NotAnalysable(
            Reason.PIXEL_DATA_UNREADABLE, f"pixels of {number} frames, header of {len(frames)}"
        )


def _check_format(header: Dataset) -> None:
    """PS3.3 C.7.6.3 and C.8.2.1: one sample of 16 bits, the stored bits at the lower end."""
    stored = read_integer(header, "BitsStored") or 0
    expected = {
        "SamplesPerPixel": (1,),
        "BitsAllocated": (BITS_ALLOCATED,),
        "HighBit": (stored - 1,),
        "PixelRepresentation": (0, 1),
    }
    for keyword, accepted in expected.items():
        if read_integer(header, keyword) not in accepted:
            raise NotAnalysable(Reason.PIXEL_FORMAT, f"{keyword} {read_integer(header, keyword)}")
    if not 1 <= stored <= BITS_ALLOCATED:
        raise NotAnalysable(Reason.PIXEL_FORMAT, f"BitsStored {stored}")
    photometric_interpretation = read_value(header, "PhotometricInterpretation")
    if photometric_interpretation != "MONOCHROME2":
        raise NotAnalysable(Reason.PIXEL_FORMAT, "PhotometricInterpretation is not MONOCHROME2")


def _padding_range(header: Dataset) -> tuple[int, int] | None:
    """Lowest and highest stored value that is padding."""
    value = read_integer(header, "PixelPaddingValue")
    if value is None:
        return None
    limit = read_integer(header, "PixelPaddingRangeLimit")
    ends = [_as_stored(end, header) for end in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _as_stored(value: int, header: Dataset) -> int:
    """The value as the pixels have it: their bits and their sign, whatever VR (US or SS) it was written in."""
    bits = int(header.BitsStored)
    unsigned = value & ((1 << bits) - 1)
    negative = header.PixelRepresentation == 1 and unsigned >> (bits - 1)
    return unsigned - (1 << bits) if negative else unsigned


def _iterate_stored(path: Path, header: Dataset) -> Iterator[npt.NDArray[Any]]:
    """The frames' stored values (rows, columns), signs and unused bits put right."""
    instance = read_file(path, with_pixels=True)
    try:
        transfer_syntax_uid = header.file_meta.TransferSyntaxUID
        if transfer_syntax_uid in COMPRESSED_LOSSLESS:
            check_codestreams(instance)
        plugin = DECODING_PLUGINS.get(transfer_syntax_uid, "")
        yield from iter_pixels(instance, raw=True, decoding_plugin=plugin)
    except UNDECODABLE as error:
        raise NotAnalysable(Reason.PIXEL_DATA_UNREADABLE, f"{type(error).__name__}: {error}"[:200]) from error


def _to_hounsfield(stored: npt.NDArray[Any], frame: Frame, padding: tuple[int, int] | None) -> Slice:
    group = "PixelValueTransformationSequence"
    slope = frame.numbers(group, "RescaleSlope", 1)
    intercept = frame.numbers(group, "RescaleIntercept", 1)
    if slope is None or intercept is None:
        raise NotAnalysable(Reason.HOUNSFIELD_UNAVAILABLE, "RescaleSlope or RescaleIntercept is missing")
    hu = _rescale(stored, slope[0], intercept[0])
    if padding is not None:
        _check_padding(padding[1] * slope[0] + intercept[0])
        hu[(stored >= padding[0]) & (stored <= padding[1])] = AIR_HU
    lowest, highest = hu.min(), hu.max()
    if lowest < SMALLEST_HU or highest > LARGEST_HU:
        raise NotAnalysable(
            Reason.HOUNSFIELD_UNAVAILABLE, f"values from {lowest:g} to {highest:g}, which cannot be HU"
        )
    return hu.astype(np.int16)


def _rescale(stored: npt.NDArray[Any], slope: float, intercept: float) -> npt.NDArray[Any]:
    """Whole HU of any size, as (rows, columns) int32 or float64: the same numbers, int32 in a third of the time."""
    largest = abs(slope) * 2.0 ** (8 * stored.dtype.itemsize) + abs(intercept)
    if slope.is_integer() and intercept.is_integer() and largest < WHOLE_HU_BELOW:
        hu = stored.astype(np.int32)
        hu *= int(slope)
        hu += int(intercept)
        return hu
    rounded: npt.NDArray[np.float64] = np.rint(stored * np.float64(slope) + intercept)
    return rounded


def _check_padding(highest_hu: float) -> None:
    if highest_hu > HIGHEST_PADDING_HU:
        raise NotAnalysable(
            Reason.PIXEL_FORMAT, f"the padding value means {highest_hu:g} HU, which tissue can have"
        )
