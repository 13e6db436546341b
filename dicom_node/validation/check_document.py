"""SR documents: evidence, outcome, and what measurement groups say of the segments that they refer to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.dicom_file import read_file
from dicom_node.validation.content_tree import (
    ABSENT,
    ANEURYSM,
    CENTER,
    TRACKING_IDENTIFIER,
    TRACKING_UID,
    UNDETERMINED,
    Group,
    answers_about,
    list_groups,
    list_items,
    volumes_of,
)
from dicom_node.validation.folder_contents import Stored
from dicom_node.validation.references import list_references, reference_of
from dicom_node.validation.segments import (
    Counted,
    Plane,
    count_voxels,
    holds_pixel,
    holds_point,
    list_planes,
    voxel_mm3,
)
from dicom_node.validation.subject import SEGMENTATION_CLASSES, Subject
from dicom_node.validation.verdicts import Check, NotMade, counted, expect, expect_none, run_check

OWN_ROUNDING_MM3 = 0.005  # this node writes two decimals, or fewer where these are zero
RELATIVE = 1e-6  # of a volume: the voxel size is a Decimal String too
EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")  # PS3.3 C.17.2.1
POINTS = ("SCOORD3D", "SCOORD")


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One that the document refers to: its data set with pixels, its frames, its voxels."""

    dataset: Dataset
    planes: list[Plane]
    counted: Counted

    def segment(self, number: int) -> Dataset | None:
        return next((one for one in self.dataset.SegmentSequence if int(one.SegmentNumber) == number), None)


Comparison = Callable[[Group, Segmentation, int, Subject], str | None]
"""Of a group with a numbered segment: what is wrong, empty where they agree, None where there is nothing to compare."""


def check_document(subject: Subject) -> Iterator[Check]:
    """What is checked of an SR document beside what is checked of every object (PS3.3 C.17, PS3.16 TID 1500)."""
    yield run_check("evidence", lambda: _check_evidence(subject))
    yield run_check("outcome", lambda: _check_outcome(subject))
    segmentations = _Segmentations(subject)
    comparisons: tuple[tuple[str, Comparison, str], ...] = (
        ("tracking", _compare_tracking, "tracking identifiers and UIDs are the segments'"),
        ("volume", _compare_volume, "volumes are the numbers of voxels times the volume of a voxel"),
        ("centre", _compare_centre, "centres lie inside the segments"),
    )
    for name, compare, passed in comparisons:
        yield run_check(name, lambda compare=compare, passed=passed: segmentations.compare(compare, passed))  # type: ignore[misc]


def _check_evidence(subject: Subject) -> str:
    document = subject.dataset
    evidence = Dataset()
    for keyword in EVIDENCE:
        if keyword in document:
            evidence[keyword] = document[keyword]
    listed = {one.sop_instance_uid for one in list_references(evidence)}
    content = Dataset()
    content.ContentSequence = document.get("ContentSequence") or []
    referenced = {one.sop_instance_uid for one in list_references(content)}
    missing = sorted(referenced - listed)
    expect_none([f"it refers to {uid}, which its evidence does not name" for uid in missing])
    if subject.is_own:
        left_out = [one for one in subject.images if one.text("SOPInstanceUID") not in listed]
        expect(not left_out, f"its evidence leaves out {len(left_out)} of the source's images that are here")
    return f"all {len(referenced)} instances that the content refers to are among the {len(listed)} of the evidence"


def _check_outcome(subject: Subject) -> str:
    """An aneurysm is said to be absent, or undetermined, only where no segment says otherwise."""
    groups = [group for group in list_groups(subject.dataset) if group.segments]
    answers = answers_about(subject.dataset, ANEURYSM)
    negative = [one for one in answers if one in (ABSENT, UNDETERMINED)]
    if groups:
        expect(not negative, f"it says that an aneurysm is absent or undetermined, and measures {len(groups)}")
        return f"it measures {counted(len(groups), 'segment')}, and calls none absent"
    if not answers and not subject.is_own:
        raise NotMade("it neither measures a segment nor says whether there is an aneurysm")
    expect(len(answers) == 1 and negative, f"it measures nothing, and {len(answers)} answers say whether there is any")
    others = [one.path.name for one in _segmentations_of_source(subject)]
    expect(not others, f"it says that nothing was found, and {', '.join(others)} has segments of the same series")
    return "absent" if negative == [ABSENT] else "undetermined"


def _segmentations_of_source(subject: Subject) -> Iterator[Stored]:
    """Segmentations by the same device of images that the document names."""
    named = {one.sop_instance_uid for one in subject.references}
    for one in subject.contents.results:
        same_device = one.text("DeviceUID") == subject.stored.text("DeviceUID") != ""
        if one.text("SOPClassUID") not in SEGMENTATION_CLASSES or not same_device:
            continue
        if named & {reference.sop_instance_uid for reference in one.references}:
            yield one


class _Segmentations:
    """The Segmentations that the groups of a document refer to, each read once."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._read: dict[str, Segmentation | None] = {}

    def compare(self, how: Comparison, passed: str) -> str:
        """Hold every group against its segments; `passed` where all agree."""
        groups = [group for group in list_groups(self._subject.dataset) if group.segments]
        if not groups:
            raise NotMade("no measurement group refers to a segment")
        found = [(group, uid, number) for group in groups for uid, number in group.segments]
        there = [(group, self._find(uid), number) for group, uid, number in found]
        results = [
            how(group, segmentation, number, self._subject)
            for group, segmentation, number in there
            if segmentation is not None
        ]
        if not any(segmentation for _, segmentation, _ in there):
            raise NotMade("the segmentation that it refers to is not here")
        expect_none([problem for problem in results if problem])
        if "" not in results:
            raise NotMade("no group says so in a form that is understood here")
        return f"{passed}, in {counted(sum(one == '' for one in results), 'group')}"

    def _find(self, uid: str) -> Segmentation | None:
        if uid not in self._read:
            stored = self._subject.contents.find(uid)
            self._read[uid] = None if stored is None else _read(stored)
        return self._read[uid]


def _read(stored: Stored) -> Segmentation:
    dataset = read_file(stored.path, with_pixels=True)
    planes = list_planes(dataset)
    return Segmentation(dataset, planes, count_voxels(dataset, planes))


def _compare_tracking(group: Group, segmentation: Segmentation, number: int, subject: Subject) -> str | None:
    segment = segmentation.segment(number)
    if segment is None:
        return f"{group.name} refers to segment {number}, which is not there"
    pairs = (
        ("tracking identifier", group.find(TRACKING_IDENTIFIER), "TextValue", segment.get("TrackingID")),
        ("tracking UID", group.find(TRACKING_UID), "UID", segment.get("TrackingUID")),
    )
    for name, items, keyword, stated in pairs:
        if not items or stated is None:
            return f"{group.name} or its segment has no {name}" if subject.is_own else None
        if [str(item[keyword].value) for item in items] != [str(stated)]:
            return f"{group.name} has another {name} than its segment"
    return ""


def _compare_volume(group: Group, segmentation: Segmentation, number: int, subject: Subject) -> str | None:
    volumes = volumes_of(group)
    if not volumes or len(group.segments) > 1:
        return None
    expected = segmentation.counted.voxels.get(number, 0) * voxel_mm3(segmentation.dataset, segmentation.planes)
    for volume in volumes:
        rounding = OWN_ROUNDING_MM3 if subject.is_own else volume.rounding_mm3
        if abs(volume.mm3 - expected) > rounding + RELATIVE * max(1.0, expected):
            return f"{group.name} states {volume.mm3:g} mm3, its segment has {expected:.3f} mm3"
    return ""


def _compare_centre(group: Group, segmentation: Segmentation, number: int, subject: Subject) -> str | None:
    centres = [item for item in group.find(CENTER) if item.get("ValueType") in POINTS]
    if not centres:
        return f"{group.name} has no centre" if subject.is_own else None
    for item in centres:
        if item.ValueType == "SCOORD3D":
            frame = segmentation.dataset.get("FrameOfReferenceUID")
            if item.get("ReferencedFrameOfReferenceUID") != frame:
                return f"the centre of {group.name} lies in another frame of reference"
            point = np.array(item.GraphicData, np.float64)[:3]
            inside = holds_point(segmentation.dataset, segmentation.planes, number, point)
        else:
            inside = _holds_image_point(item, segmentation, number)
        if not inside:
            return f"the centre of {group.name} lies outside its segment"
    return ""


def _holds_image_point(item: Dataset, segmentation: Segmentation, number: int) -> bool:
    """Of a point in an image: column and row from its upper left corner (PS3.3 C.18.6.1.1)."""
    column, row = (int(np.floor(value)) for value in list(item.GraphicData)[:2])
    images = [reference_of(one) for child in list_items(item) for one in child.get("ReferencedSOPSequence") or []]
    wanted = {(image.sop_instance_uid, image.frames) for image in images}
    planes = [
        plane
        for plane in segmentation.planes
        if plane.segment in (None, number)
        and wanted & {(reference.sop_instance_uid, reference.frames) for reference in plane.references}
    ]
    return any(holds_pixel(segmentation.dataset, plane, number, row, column) for plane in planes)
