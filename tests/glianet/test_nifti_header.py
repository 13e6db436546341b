"""Files made byte by byte after nifti1.h and nifti2.h of the NIfTI standard."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from glianet.errors import GliaNetError, ReaderError, VolumeError
from glianet.nifti import read_nifti
from glianet.nifti_header import check_nifti

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)

OFFSETS = {
    "dim": 40,
    "datatype": 70,
    "pixdim": 76,
    "vox_offset": 108,
    "scl_slope": 112,
    "scl_inter": 116,
    "magic": 344,
}


def _nifti(values: np.ndarray = VALUES, order: str = "<", **changes: object) -> bytes:
    """A NIfTI-1 file; changes: field -> its value."""
    depth, height, width = values.shape
    fields: dict[str, object] = {
        "dim": (3, width, height, depth, 1, 1, 1, 1),
        "datatype": {"f4": 16, "f8": 64, "i2": 4}[values.dtype.str[1:]],
        "pixdim": (1, 0.5, 0.5, 0.75, 1, 1, 1, 1),
        "vox_offset": 352,
        "scl_slope": 1,
        "scl_inter": 0,
        "magic": b"n+1",
        **changes,
    }
    formats = {"dim": "8h", "datatype": "h", "pixdim": "8f", "magic": "4s"}
    header = bytearray(348)
    struct.pack_into(f"{order}i", header, 0, 348)
    for name, value in fields.items():
        entries = value if isinstance(value, tuple) else (value,)
        struct.pack_into(order + formats.get(name, "f"), header, OFFSETS[name], *entries)
    return bytes(header) + bytes(4) + values.astype(values.dtype.newbyteorder(order)).tobytes()


def _written(folder: Path, content: bytes, name: str = "a.nii") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64])
def test_a_sound_file_in_both_byte_orders(tmp_path: Path, order: str, dtype: type[np.number]) -> None:
    content = _nifti(VALUES.astype(dtype), order)
    for name, stored in (("a.nii", content), ("b.nii.gz", gzip.compress(content)), ("c.nii.gz", content)):
        path = _written(tmp_path, stored, name)
        assert check_nifti(path) is None
        assert sorted(read_nifti(path).hu.ravel()) == list(range(24))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted(
    tmp_path: Path, order: str, dtype: type[np.floating], value: float
) -> None:
    values = VALUES.astype(dtype)
    values[1, 1, 1:] = value
    for name, pack in (("a.nii", bytes), ("a.nii.gz", gzip.compress)):
        path = _written(tmp_path, pack(_nifti(values, order)), name)
        with pytest.raises(VolumeError, match="3 of its 24 voxels are not finite numbers"):
            check_nifti(path)


def test_bytes_of_whole_numbers_are_no_nan(tmp_path: Path) -> None:
    check_nifti(_written(tmp_path, _nifti(np.full((2, 2, 2), -1, np.int16))))


def test_voxels_after_an_extension_are_the_ones_checked(tmp_path: Path) -> None:
    content = _nifti(vox_offset=400)
    extension = np.full(12, np.nan, np.float32).tobytes()
    check_nifti(_written(tmp_path, content[:352] + extension + content[352:]))
    assert read_nifti(tmp_path / "a.nii").hu.max() == 23


def test_bytes_after_the_voxels_do_not_matter(tmp_path: Path) -> None:
    check_nifti(_written(tmp_path, _nifti() + np.full(5, np.nan, np.float32).tobytes()))


def test_a_file_cut_short(tmp_path: Path) -> None:
    content = _nifti()
    for name, pack in (("a.nii", bytes), ("a.nii.gz", gzip.compress)):
        path = _written(tmp_path, pack(content[:-7]), name)
        with pytest.raises(ReaderError, match="it holds 89 of the 96 bytes of its voxels.*again"):
            check_nifti(path)


def test_gzip_cut_short_or_damaged(tmp_path: Path) -> None:
    content = gzip.compress(_nifti())
    flipped = bytearray(content)
    flipped[-6] ^= 1  # in the checksum
    for damaged in (content[:-1], content[:-8], content[:40], bytes(flipped), content + b"tail"):
        with pytest.raises(ReaderError, match="cannot be read as an image"):
            check_nifti(_written(tmp_path, damaged, "a.nii.gz"))


def test_gzip_in_two_members_is_whole(tmp_path: Path) -> None:
    content = _nifti()
    path = _written(tmp_path, gzip.compress(content[:380]) + gzip.compress(content[380:]), "a.nii.gz")
    assert check_nifti(path) is None
    assert read_nifti(path).hu.max() == 23


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"magic": b"ni1"}, ReaderError, "magic"),
        ({"magic": b""}, ReaderError, "magic"),
        ({"dim": (8, 4, 3, 2, 1, 1, 1, 1)}, ReaderError, "dimensions"),
        ({"dim": (0, 4, 3, 2, 1, 1, 1, 1)}, ReaderError, "dimensions"),
        ({"dim": (3, 4, 3, 0, 1, 1, 1, 1)}, ReaderError, "dimensions"),
        ({"dim": (3, 4, -3, 2, 1, 1, 1, 1)}, ReaderError, "dimensions"),
        ({"dim": (3, 4, 3, 3, 1, 1, 1, 1)}, ReaderError, "96 of the 144 bytes"),
        ({"datatype": 128}, ReaderError, "data type 128"),
        ({"datatype": 1536}, ReaderError, "data type 1536"),
        ({"vox_offset": 0}, ReaderError, "cannot begin at byte 0"),
        ({"vox_offset": float("nan")}, ReaderError, "cannot begin at byte nan"),
        ({"vox_offset": float("inf")}, ReaderError, "cannot begin"),
        ({"vox_offset": 1e9}, ReaderError, "0 of the 96 bytes"),
        ({"vox_offset": 1e30}, ReaderError, "cannot begin"),
        ({"pixdim": (1, 0.5, 0, 0.7, 1, 1, 1, 1)}, ReaderError, "size"),
        ({"pixdim": (1, 0.5, 0.5, float("nan"), 1, 1, 1, 1)}, ReaderError, "size"),
        ({"scl_slope": float("nan")}, VolumeError, "scl_slope is nan .* none of its voxels is a finite"),
        ({"scl_slope": float("inf")}, VolumeError, "scl_slope is inf"),
        ({"scl_inter": float("nan")}, VolumeError, "scl_inter nan"),
        ({"scl_inter": -float("inf")}, VolumeError, "scl_inter -inf"),
        ({"scl_slope": 0, "scl_inter": -1024}, VolumeError, "take differently"),
        ({"scl_slope": 1e-20}, VolumeError, "take differently"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_the_library_would_repair_is_refused(
    tmp_path: Path, order: str, changes: dict[str, object], error: type[GliaNetError], message: str
) -> None:
    path = _written(tmp_path, _nifti(order=order, **changes))
    with pytest.raises(error, match=message) as caught:
        check_nifti(path)
    assert caught.value.where == str(path)
    assert caught.value.advice


@pytest.mark.parametrize(("slope", "intercept", "last"), [(0, 0, 23), (2, -5, 41), (-1, 0, -23)])
def test_scaling_that_is_plain(tmp_path: Path, slope: float, intercept: float, last: int) -> None:
    path = _written(tmp_path, _nifti(VALUES.astype(np.int16), scl_slope=slope, scl_inter=intercept))
    assert last in read_nifti(path).hu


def test_nifti_2_and_other_headers(tmp_path: Path) -> None:
    for order in "<>":
        second = struct.pack(f"{order}i8s", 540, b"n+2\0\r\n\x1a\n") + bytes(528)
        with pytest.raises(ReaderError, match="it is NIfTI-2.*Convert it to NIfTI-1"):
            check_nifti(_written(tmp_path, second))
    with pytest.raises(ReaderError, match="header is not that of a NIfTI file"):
        check_nifti(_written(tmp_path, gzip.compress(_nifti())))  # named .nii
    with pytest.raises(ReaderError, match="No such file"):
        check_nifti(tmp_path / "none.nii")


@pytest.mark.parametrize("name", ["a.hdr", "a.img", "a.HDR", "a.img.gz"])
def test_a_pair_of_files_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReaderError, match="one of a pair of files.*Convert the two"):
        read_nifti(_written(tmp_path, _nifti(), name))


def test_other_formats_are_left_alone(tmp_path: Path) -> None:
    check_nifti(_written(tmp_path, b"anything", "a.mha"))


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """64 MB of voxels in less than 8 MB."""
    values = np.zeros((64, 512, 512), np.float32)
    values[40, 2, 3] = np.nan
    content = _nifti(values)
    paths = [_written(tmp_path, content), _written(tmp_path, gzip.compress(content, 1), "a.nii.gz")]
    del content, values
    tracemalloc.start()
    for path in paths:
        with pytest.raises(VolumeError, match="1 of its 16777216 voxels"):
            check_nifti(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
