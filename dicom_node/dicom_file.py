"""Reading a DICOM file, with damage told from a failing disk."""

from pathlib import Path

import pydicom
from pydicom import Dataset

from dicom_node.frames import DAMAGED
from dicom_node.reasons import NotAnalysable, Reason


def read_file(path: Path, *, with_pixels: bool) -> Dataset:
    """The data set of a PS3.10 file; `filename` is its path.

    Raises:
        NotAnalysable: its bytes are not DICOM.
        OSError: the file cannot be read.
    """
    reason = Reason.PIXEL_DATA_UNREADABLE if with_pixels else Reason.HEADER_UNREADABLE
    try:
        return pydicom.dcmread(path, stop_before_pixels=not with_pixels)
    except DAMAGED as error:
        raise NotAnalysable(reason, type(error).__name__, where=str(path)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise NotAnalysable(
            reason, "the data set ends too early", where=str(path)
        ) from error  # pydicom's own
