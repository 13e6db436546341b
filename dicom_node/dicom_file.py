"""Reading a DICOM file, with damage told from a failing disk."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.frames import DAMAGED
from dicom_node.reasons import NotAnalysable, Reason

# Bytes of an inflated data set: a thousand slices of 512 x 512 in one object; pydicom inflates the whole
# data set even where only the header is wanted, and 1 MiB can inflate to 1 GiB.
LARGEST_INFLATED = 512 * 1024**2
META_GROUP = 0x0002  # PS3.10 section 7.1
_PIECE = 1024**2


def read_file(path: Path, *, with_pixels: bool) -> Dataset:
    """The data set of a PS3.10 file; `filename` is its path.

    Raises:
        NotAnalysable: its bytes are not DICOM, or inflate to more than LARGEST_INFLATED.
        OSError: the file cannot be read.
    """
    reason = Reason.PIXEL_DATA_UNREADABLE if with_pixels else Reason.HEADER_UNREADABLE
    try:
        _check_inflated_size(path, reason)
        return pydicom.dcmread(path, stop_before_pixels=not with_pixels)
    except DAMAGED as error:
        raise NotAnalysable(reason, type(error).__name__, where=str(path)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise NotAnalysable(
            reason, "the data set ends too early", where=str(path)
        ) from error  # pydicom's own


def _check_inflated_size(path: Path, reason: Reason) -> None:
    """PS3.5 A.5: measured in pieces, before memory is spent on the whole."""
    with path.open("rb") as file:
        read_preamble(file, force=False)
        meta = read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != META_GROUP)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        if any(size > LARGEST_INFLATED for size in _inflated_sizes(file)):
            raise NotAnalysable(reason, f"it inflates to more than {LARGEST_INFLATED} bytes", where=str(path))


def _inflated_sizes(file: BinaryIO) -> Iterator[int]:
    """The size that the rest of the file has reached, piece by piece."""
    inflater, size, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, b""
    while not inflater.eof and (rest := rest or file.read(_PIECE)):
        size += len(inflater.decompress(rest, _PIECE))
        rest = inflater.unconsumed_tail
        yield size
