"""Segmentations: segments and their numbers, pixels, overlap, and where the frames lie."""

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.encoding.source_frames import SourceFrame, source_frames
from dicom_node.validation.segments import EXACT_MM, Plane, count_voxels, list_planes
from dicom_node.validation.subject import Subject
from dicom_node.validation.verdicts import Check, NotMade, counted, expect, expect_none, run_check

DIRECTION_TOLERANCE = 1e-5  # of a direction cosine; 0.005 mm over 512 voxels of 1 mm
SPACING_TOLERANCE = 1e-5  # relative
LABEL_MAP = "LABELMAP"
FrameKey = tuple[str, int | None]


def check_segments(subject: Subject) -> Iterator[Check]:
    """What is checked of a Segmentation beside what is checked of every object (PS3.3 C.8.20)."""
    yield run_check("segments", lambda: _check_numbers(subject.dataset))
    yield run_check("mask", lambda: _check_mask(subject.dataset))
    yield run_check("overlap", lambda: _check_overlap(subject.dataset))
    yield run_check("frame of reference", lambda: _check_frame_of_reference(subject))
    yield run_check("place", lambda: _check_place(subject))


def _check_numbers(segmentation: Dataset) -> str:
    """From 1 upwards without a gap (PS3.3 C.8.20.2), save in a label map; a tracking UID is one segment's alone."""
    numbers = [int(item.SegmentNumber) for item in segmentation.SegmentSequence]
    if segmentation.get("SegmentationType") == LABEL_MAP:
        expect(len(set(numbers)) == len(numbers), f"segment numbers repeat: {numbers}")
    else:
        expect(numbers == list(range(1, len(numbers) + 1)), f"the segments are numbered {numbers}, not from 1 upwards")
    tracking = [str(item.TrackingUID) for item in segmentation.SegmentSequence if item.get("TrackingUID")]
    expect(len(set(tracking)) == len(tracking), "two segments have the same tracking UID")
    named = {plane.segment for plane in list_planes(segmentation) if plane.segment is not None}
    unknown = max(named - set(numbers), default=None)
    expect(unknown is None, f"a frame belongs to segment {unknown}, which is not there")
    return f"{counted(len(numbers), 'segment')}, numbered {numbers[0]} to {numbers[-1]}"


def _check_mask(segmentation: Dataset) -> str:
    voxels = count_voxels(segmentation, list_planes(segmentation)).voxels
    described = {int(item.SegmentNumber) for item in segmentation.SegmentSequence}
    beyond = min(set(voxels) - described, default=None)
    expect(beyond is None, f"voxels have the value {beyond}, which is no segment")
    background = {0} if segmentation.get("SegmentationType") == LABEL_MAP else set()  # PS3.3 C.8.20.2
    empty = min((number for number in described - background if not voxels[number]), default=None)
    expect(empty is None, f"segment {empty} holds no voxel")
    total = sum(count for number, count in voxels.items() if number)
    return f"{counted(total, 'voxel')} in {counted(len(described - background), 'segment')}"


def _check_overlap(segmentation: Dataset) -> str:
    if segmentation.get("SegmentationType") == LABEL_MAP:
        return "a label map has one segment for each voxel"
    stated = str(segmentation.get("SegmentsOverlap") or "not stated")
    if stated != "NO":
        raise NotMade(f"SegmentsOverlap is {stated}: segments may share voxels")
    shared = count_voxels(segmentation, list_planes(segmentation)).shared
    expect(not shared, f"{shared} voxels lie in two segments, and SegmentsOverlap is NO")
    return "no voxel lies in two segments"


def _check_frame_of_reference(subject: Subject) -> str:
    if not subject.images:
        raise NotMade("no image of its source series is here")
    stated = {image.text("FrameOfReferenceUID") for image in subject.images}
    expect(subject.stored.text("FrameOfReferenceUID") in stated, "the frame of reference is not the source's")
    return "the frame of reference is the source's"


def _check_place(subject: Subject) -> str:
    """Each frame lies exactly on an image, or frame, that it refers to."""
    if not subject.images:
        raise NotMade("no image of its source series is here")
    known = {frame.key: frame for frame in source_frames([image.header for image in subject.images])}
    planes = list_planes(subject.dataset)
    named = [(plane, [known[key] for key in _keys(plane) if key in known]) for plane in planes]
    if not any(frames for _, frames in named):
        raise NotMade("its frames name no source image that is here")
    matrix = int(subject.dataset.Rows), int(subject.dataset.Columns)
    expect_none([problem for plane, frames in named if (problem := _misplacement(plane, frames, matrix))])
    return f"{counted(len(planes), 'frame')}, exactly on the source images referred to"


def _keys(plane: Plane) -> list[FrameKey]:
    return [(one.sop_instance_uid, number) for one in plane.references for number in one.frames or (None,)]


def _misplacement(plane: Plane, frames: list[SourceFrame], matrix: tuple[int, int]) -> str:
    """Why a frame lies on none of the images that it refers to; empty where it lies on one."""
    problems = [_difference(plane, frame, matrix) for frame in frames]
    if "" in problems:
        return ""
    return f"frame {plane.index + 1} {problems[0] if problems else 'refers to no source image that is here'}"


def _difference(plane: Plane, frame: SourceFrame, matrix: tuple[int, int]) -> str:
    distance = float(np.abs(plane.position - frame.position).max())
    if distance > EXACT_MM:
        return f"lies {distance:.3f} mm from the source image that it refers to"
    if not np.allclose(plane.directions, frame.directions, rtol=0, atol=DIRECTION_TOLERANCE):
        return "is turned against the source image that it refers to"
    if not np.allclose(plane.spacing, frame.spacing, rtol=SPACING_TOLERANCE):
        return "has another pixel spacing than the source image that it refers to"
    return "" if matrix == frame.matrix else f"has a matrix of {matrix}, its source image {frame.matrix}"
