"""What all instances of one series must agree in, beside their planes."""

from collections.abc import Sequence

from dicom_node.frames import Frame, read_uid, read_value
from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.settings import AssemblySettings
from dicom_node.slice_plane import SlicePlane

TILT_AGREEMENT_DEGREES = 1.0  # between the stated gantry tilt and the slices' angle; headers round to 0.5


def check_consistency(
    frames: Sequence[Frame], planes: Sequence[SlicePlane], assembly: AssemblySettings
) -> None:
    """Prove that the instances belong together: one patient, study, series and frame of reference.

    A gantry tilt that the header states must show in the slices' orientation too: else one of the two is wrong.

    Raises:
        NotAnalysable: the first disagreement.
    """
    headers = [frame.header for frame in frames]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        _check_same(keyword, [read_uid(header, keyword) for header in headers], Reason.MIXED_SERIES)
    for keyword in ("PatientID", "IssuerOfPatientID"):
        values = [str(read_value(header, keyword) or "") for header in headers]
        _check_same(keyword, values, Reason.MIXED_SERIES)
    if any(not read_value(header, "FrameOfReferenceUID") for header in headers):
        raise NotAnalysable(Reason.MISSING_GEOMETRY, "FrameOfReferenceUID is missing")
    frames_of_reference = [read_uid(header, "FrameOfReferenceUID") for header in headers]
    _check_same("FrameOfReferenceUID", frames_of_reference, Reason.MIXED_FRAME_OF_REFERENCE)
    for frame, plane in zip(frames, planes, strict=True):
        _check_stated_tilt(frame, plane, assembly.maximum_gantry_tilt_degrees)


def _check_same(keyword: str, values: Sequence[str], reason: Reason) -> None:
    different = len(set(values))
    if different > 1:
        raise NotAnalysable(reason, f"{different} different values of {keyword}")


def _check_stated_tilt(frame: Frame, plane: SlicePlane, maximum_degrees: float) -> None:
    stated = frame.numbers("CTAcquisitionDetailsSequence", "GantryDetectorTilt", 1)
    tilt = abs(stated[0]) if stated else 0.0
    if tilt > maximum_degrees and abs(tilt - plane.axial_angle_degrees) > TILT_AGREEMENT_DEGREES:
        raise NotAnalysable(
            Reason.GANTRY_TILT,
            f"the header states a tilt of {tilt:g} degrees, but the slices lie "
            f"{plane.axial_angle_degrees:.1f} degrees from axial",
        )
