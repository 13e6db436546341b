"""Damage that several kinds of results can take, for tests of what finds it."""

from pydicom import Dataset

from tests.support.ct_source import ROOT


def exchange_segments(segmentation: Dataset) -> None:
    """The frames of segment 1 become those of segment 2, and the other way round."""
    for groups in segmentation.PerFrameFunctionalGroupsSequence:
        item = groups.SegmentIdentificationSequence[0]
        item.ReferencedSegmentNumber = 3 - item.ReferencedSegmentNumber


def drop_a_segment(segmentation: Dataset) -> None:
    """The second one is described no more."""
    del segmentation.SegmentSequence[1]


def repeat_a_tracking_uid(segmentation: Dataset) -> None:
    """Two segments have that of the first."""
    first, second = segmentation.SegmentSequence
    second.TrackingUID = first.TrackingUID


def move_to_another_frame_of_reference(image: Dataset) -> None:
    """Positions are where they were, in another space."""
    image.FrameOfReferenceUID = f"{ROOT}.8"


def give_to_another_patient(result: Dataset) -> None:
    """Another Patient ID."""
    result.PatientID = "P-0816"


def change_the_name(result: Dataset) -> None:
    """Of the patient."""
    result.PatientName = "Other^Case"


def move_to_another_study(result: Dataset) -> None:
    """Another Study Instance UID."""
    result.StudyInstanceUID = f"{ROOT}.8"


def spoil_a_uid(result: Dataset) -> None:
    """A component with leading zeros, which PS3.5 section 9.1 forbids."""
    result.DeviceUID = "2.25.00123"


def drop_unused_evidence(report: Dataset) -> None:
    """The last slice of the source, which holds no lesion, is named no more."""
    series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    (images,) = [one for one in series if one.SeriesInstanceUID == f"{ROOT}.2"]
    del images.ReferencedSOPSequence[11]
