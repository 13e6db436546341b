"""The plane that a frame's header states."""

from dicom_node.frames import Frame, read_integer, read_uid
from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.slice_plane import SlicePlane


def find_plane(frame: Frame) -> SlicePlane:
    """Where the frame lies, as its header says.

    Raises:
        NotAnalysable: position, orientation, pixel spacing or matrix is missing, no number, or impossible.
    """
    position = frame.numbers("PlanePositionSequence", "ImagePositionPatient", 3)
    orientation = frame.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    spacing = frame.numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    rows, columns = read_integer(frame.header, "Rows"), read_integer(frame.header, "Columns")
    if position is None or orientation is None or spacing is None or rows is None or columns is None:
        raise NotAnalysable(
            Reason.MISSING_GEOMETRY, "position, orientation, pixel spacing or matrix is missing"
        )
    return SlicePlane(
        sop_instance_uid=read_uid(frame.header, "SOPInstanceUID"),
        frame_number=frame.number,
        position=(position[0], position[1], position[2]),
        row_direction=(orientation[0], orientation[1], orientation[2]),
        column_direction=(orientation[3], orientation[4], orientation[5]),
        pixel_spacing=(spacing[0], spacing[1]),
        rows=rows,
        columns=columns,
    )
