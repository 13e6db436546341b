"""Zip archives of a JSON document and arrays: the same content gives the same bytes."""

import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIXED_TIME = (1980, 1, 1, 0, 0, 0)
"""Time stamp of the archive's members."""
UNREADABLE = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
)
"""What `read_archive`, or taking its document apart, raises at a file that is absent, damaged or of another kind."""


def archive_bytes(name: str, document: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The archive: NAME.json, and each array as KEY.npy, compressed."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        _add(archive, f"{name}.json", json.dumps(document, indent=1, allow_nan=False).encode())
        for key, array in arrays.items():
            _add(archive, f"{key}.npy", _npy_bytes(array))
    return content.getvalue()


def read_archive(path: Path, name: str, *keys: str) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """The document NAME.json and the arrays of these keys. Raises one of UNREADABLE."""
    with zipfile.ZipFile(path) as archive:
        document = json.loads(archive.read(f"{name}.json"))
        arrays = [_array(archive.read(f"{key}.npy")) for key in keys]
    return document, arrays


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, FIXED_TIME), content, zipfile.ZIP_DEFLATED, compresslevel=6)


def _npy_bytes(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return content.getvalue()


def _array(content: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array
