"""Reading a DICOM file, with damage told from a failing disk, and no more memory spent than a header may take."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from io import SEEK_CUR, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import Dataset, filereader
from pydicom.dataset import FileDataset
from pydicom.filereader import read_dataset, read_partial, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_node.frames import DAMAGED
from dicom_node.reasons import NotAnalysable, Reason

# Bytes of an inflated data set: a thousand slices of 512 x 512 in one object; 1 MiB can inflate to 1 GiB.
LARGEST_INFLATED = 512 * 1024**2
# Bytes before the pixels. A slice has some kB, 2,500 frames in one object 8 MiB. A parsed header takes up to 40 times
# its bytes in memory, a sequence of empty items 80 times.
LARGEST_HEADER = 16 * 1024**2
LARGEST_HEADERS = 128 * 1024**2  # of all files of a series: 2,500 slices of 50 KiB each
MOST_ITEMS = 200_000  # 2,500 frames have a dozen each
META_GROUP = 0x0002  # PS3.10 section 7.1
PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})  # PS3.3 C.7.6.3: float, double float, Pixel Data
ITEM = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # its tag, PS3.5 section 7.5, in either byte order
ITEM_END = (b"\xfe\xff\x0d\xe0", b"\xff\xfe\xe0\x0d")  # pydicom takes one too many for an empty item
_COUNTED = (*ITEM, *ITEM_END)
SEQUENCE_END = (b"\xfe\xff\xdd\xe0", b"\xff\xfe\xe0\xdd")
_PIECE = 1024**2
_FIRST_LOOK = 32 * 1024  # bytes; nearly every header is shorter
_ITEM_BYTES = 8  # of an empty item
_TAG_BYTES = 4


class HeaderTooLarge(ValueError):
    """A header that no CT image has."""


def _only_items(read_item: Callable[..., Dataset | None]) -> Callable[..., Dataset | None]:
    """pydicom takes whatever stands in an item's place for one, so that counting items would bound nothing."""

    def read(file: BinaryIO, *arguments: Any, **options: Any) -> Dataset | None:
        tag = file.read(_TAG_BYTES)
        if len(tag) == _TAG_BYTES and tag not in (*_COUNTED, *SEQUENCE_END):
            raise ValueError("a sequence holds something else than items")
        file.seek(-len(tag), SEEK_CUR)
        return read_item(file, *arguments, **options)

    return read


filereader.read_sequence_item = _only_items(filereader.read_sequence_item)


def read_file(path: Path, *, with_pixels: bool) -> Dataset:
    """The data set of a PS3.10 file, up to its pixels; `filename` is its path.

    Raises:
        NotAnalysable: its bytes are not DICOM, its header is larger than LARGEST_HEADER, or with its pixels it
            inflates to more than LARGEST_INFLATED.
        OSError: the file cannot be read.
    """
    if with_pixels:
        return _explained(path, Reason.PIXEL_DATA_UNREADABLE, _read_whole)[0]
    return _explained(path, Reason.HEADER_UNREADABLE, _read_header)[0]


def read_headers(paths: Iterable[Path]) -> tuple[Dataset, ...]:
    """The data sets of the files of one series without their pixels, in the order given; `filename` is their path.

    Raises:
        NotAnalysable: a file is no readable DICOM file, or the headers are larger than LARGEST_HEADERS together.
        OSError: a file cannot be read.
    """
    datasets, total = [], 0
    for path in paths:
        dataset, size = _explained(path, Reason.HEADER_UNREADABLE, _read_header)
        total += size
        if total > LARGEST_HEADERS:
            raise NotAnalysable(
                Reason.TOO_LARGE, f"the headers take more than {LARGEST_HEADERS} bytes together", where=str(path)
            )
        datasets.append(dataset)
    return tuple(datasets)


def _explained(
    path: Path, reason: Reason, read: Callable[[Path], tuple[FileDataset, int]]
) -> tuple[FileDataset, int]:
    """The data set and the bytes that it was made of."""
    try:
        dataset, size = read(path)
    except DAMAGED as error:
        what = str(error) if isinstance(error, HeaderTooLarge) else type(error).__name__
        raise NotAnalysable(reason, what, where=str(path)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise NotAnalysable(reason, "the data set ends too early", where=str(path)) from error  # pydicom's own
    dataset.filename, dataset.buffer = str(path), None  # the bytes that it was parsed from are let go
    return dataset, size


def _read_header(path: Path) -> tuple[FileDataset, int]:
    """From the beginning of the file only, and from a longer one where that was not enough."""
    with path.open("rb") as file:
        is_deflated = _skip_meta(file)
        start = file.tell()
        for limit in (_FIRST_LOOK, LARGEST_HEADER):
            file.seek(start)
            header, whole = _beginning(file, limit, is_deflated)
            if len(header) > MOST_ITEMS * _ITEM_BYTES and any(header.count(tag) > MOST_ITEMS for tag in _COUNTED):
                raise HeaderTooLarge(f"more than {MOST_ITEMS} items")
            file.seek(0)
            parsed = _parse(file.read(start) + (_stored(header) if is_deflated else header), whole)
            if parsed is not None:
                return parsed
    raise HeaderTooLarge(f"no pixels within {LARGEST_HEADER} bytes")


def _beginning(file: BinaryIO, limit: int, is_deflated: bool) -> tuple[bytes, bool]:
    """The first bytes of the data set as it is without deflation, and whether they are all that there is."""
    if not is_deflated:
        data = file.read(limit + 1)
        return data[:limit], len(data) <= limit
    inflater, data = zlib.decompressobj(-zlib.MAX_WBITS), b""
    while len(data) <= limit and not inflater.eof and (rest := inflater.unconsumed_tail or file.read(_PIECE)):
        data += inflater.decompress(rest, limit + 1 - len(data))
    return data[:limit], len(data) <= limit and inflater.eof


def _stored(data: bytes) -> bytes:
    """Deflated without being made smaller (RFC 1951 section 3.2.4): it is to be parsed as what its meta group says."""
    deflater = zlib.compressobj(level=0, wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def _parse(data: bytes, whole: bool) -> tuple[FileDataset, int] | None:
    """The data set and the bytes that it takes; None where these end before the pixels and there are more of them."""
    stream, reached = BytesIO(data), False

    def at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal reached
        reached = reached or tag in PIXELS
        return reached

    try:
        dataset = read_partial(stream, at_pixels)
    except (*DAMAGED, OSError):
        if whole or reached:
            raise
        return None
    return (dataset, stream.tell()) if whole or reached else None


def _read_whole(path: Path) -> tuple[FileDataset, int]:
    """What comes after the pixels is not read: nothing there is needed, and it may be anything."""
    with path.open("rb") as file:
        if _skip_meta(file) and any(size > LARGEST_INFLATED for size in _inflated_sizes(file)):
            raise NotAnalysable(
                Reason.PIXEL_DATA_UNREADABLE, f"it inflates to more than {LARGEST_INFLATED} bytes", where=str(path)
            )
        file.seek(0)
        return read_partial(file, lambda tag, _vr, _length: tag > max(PIXELS)), file.tell()


def _skip_meta(file: BinaryIO) -> bool:
    """Whether the data set behind the file meta information, where `file` stands then, is deflated (PS3.5 A.5)."""
    read_preamble(file, force=False)
    meta = read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag.group != META_GROUP)
    return bool(meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian)


def _inflated_sizes(file: BinaryIO) -> Iterator[int]:
    """The size that the rest of the file has reached, piece by piece."""
    inflater, size, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, b""
    while not inflater.eof and (rest := rest or file.read(_PIECE)):
        size += len(inflater.decompress(rest, _PIECE))
        rest = inflater.unconsumed_tail
        yield size
