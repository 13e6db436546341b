"""What stands in a SEG or SR, read with pydicom alone."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import pixel_array
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from glianet.findings import Findings

OFF_GRID = 0.01  # of a voxel: how far a frame's voxel may lie from a voxel of the source grid


def one_of_each(objects: Sequence[Dataset]) -> tuple[Dataset, Dataset]:
    """The SEG and the SR of one set of results; there is nothing else."""
    kinds = sorted(one.SOPClassUID.name for one in objects)
    assert sorted(one.SOPClassUID for one in objects) == sorted(
        [SegmentationStorage, Comprehensive3DSRStorage]
    ), kinds
    segmentation, report = sorted(objects, key=lambda one: one.SOPClassUID != SegmentationStorage)
    return segmentation, report


def replaced_by(report: Dataset) -> set[str]:
    """SOP Instance UIDs of the reports that this one names as replaced."""
    return {
        str(document.ReferencedSOPInstanceUID)
        for study in report.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for document in series.ReferencedSOPSequence
    }


def labels_of(
    segmentation: Dataset, affine: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.uint16]:
    """The segments painted onto a grid by the positions of their voxels: (D, H, W) uint16, 0 or the segment's number.

    affine: (4, 4), index (k, j, i, 1) of the grid to LPS mm.
    """
    labels = np.zeros(shape, np.uint16)
    inverse = np.linalg.inv(affine)
    frames = pixel_array(segmentation).reshape(
        segmentation.NumberOfFrames, segmentation.Rows, segmentation.Columns
    )
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        points = np.argwhere(frame) @ _in_plane(segmentation) + _position(groups)
        index = np.c_[points, np.ones(len(points))] @ inverse.T
        nearest = np.rint(index[:, :3]).astype(int)
        assert np.abs(index[:, :3] - nearest).max(initial=0) < OFF_GRID
        labels[tuple(nearest.T)] = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    return labels


def check_mask(segmentation: Dataset, expected: Findings) -> None:
    """Voxel by voxel, by position in the patient: each segment is the lesion of its number."""
    found = labels_of(segmentation, expected.affine, expected.labels.shape)
    assert expected.lesions, "a comparison of nothing proves nothing"
    np.testing.assert_array_equal(found, expected.labels)


def texts_of(report: Dataset) -> list[str]:
    """Every text of the content tree."""
    return [str(item.TextValue) for item in _items(report) if "TextValue" in item]


def codes_of(report: Dataset) -> set[tuple[str, str]]:
    """Every (concept name, coded value) of the content tree, as code values."""
    return {
        (str(item.ConceptNameCodeSequence[0].CodeValue), str(item.ConceptCodeSequence[0].CodeValue))
        for item in _items(report)
        if "ConceptCodeSequence" in item
    }


def _in_plane(segmentation: Dataset) -> NDArray[np.float64]:
    """(2, 3): the steps of one row and of one column, in LPS mm (PS3.3 C.7.6.2.1.1)."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    return np.array([cosines[3:] * between_rows, cosines[:3] * between_columns])


def _position(groups: Dataset) -> NDArray[np.float64]:
    return np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)


def _items(dataset: Dataset) -> Iterator[Dataset]:
    for item in dataset.get("ContentSequence", []):
        yield item
        yield from _items(item)
