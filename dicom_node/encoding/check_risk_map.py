"""Self-check of the risk map: does every voxel of it, in its place in the patient, hold the mean risk found there?"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import ParametricMapStorage, SegmentationStorage

from dicom_node.encoding.check_identity import check_identity, complete, require
from dicom_node.encoding.part10 import EncodedObject
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings
from glianet.scores import RiskGrid
from glianet.tiling import PATCH_SIZE

WHERE = "risk map"
POSITION_TOLERANCE_MM = 1e-3  # Decimal Strings hold 1e-6 mm or better
RISK_TOLERANCE = 1e-5  # of a mean of some hundred risks, summed in float32
LARGEST_SPACING_MM = 10.0  # of voxels of the map: more would leave out places between them
IDENTITY = {
    "RealWorldValueSlope": 1.0,
    "RealWorldValueIntercept": 0.0,
    "DoubleFloatRealWorldValueFirstValueMapped": 0.0,
    "DoubleFloatRealWorldValueLastValueMapped": 1.0,
}
FRACTIONAL = {
    "SegmentationType": "FRACTIONAL",
    "SegmentationFractionalType": "PROBABILITY",
    "MaximumFractionalValue": 255,
}
Values = npt.NDArray[np.float64]
Ends = tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]


def check_risk_map(encoded: EncodedObject, source: SourceSeries, findings: Findings, risk: RiskGrid) -> None:
    """Pass if the bytes, a Parametric Map or a FRACTIONAL SEG, hold the risks of the whole volume in their places.

    Raises:
        NodeError: naming the first thing that is wrong.
    """
    with complete(WHERE):
        sop_class = SegmentationStorage if encoded.sop_class_uid == SegmentationStorage else ParametricMapStorage
        result = check_identity(encoded, sop_class, source.datasets)
        _check_header(result, source)
        if sop_class == SegmentationStorage:
            values, tolerance = _fractions(result), 0.5 / 255 + RISK_TOLERANCE
        else:
            values, tolerance = _mapped_values(result), RISK_TOLERANCE
        indices = _indices(result, findings)
        _check_whole(indices, result, findings)
        right = np.abs(values - _expected(risk, indices)) <= tolerance  # which no NaN is
        require(right.all(), f"{np.count_nonzero(~right)} risks differ from those that were found", WHERE)


def _check_header(result: Dataset, source: SourceSeries) -> None:
    same = result.get("FrameOfReferenceUID") == source.datasets[0].get("FrameOfReferenceUID")
    require(same, "the frame of reference is not the source's", WHERE)
    require(result.get("ContentQualification") == "RESEARCH", "it is not marked as research", WHERE)
    series = result.get("ReferencedSeriesSequence") or []
    uids = [str(item.SeriesInstanceUID) for item in series]
    require(uids == [str(source.datasets[0].SeriesInstanceUID)], f"it refers to the series {uids}", WHERE)
    known = {(str(image.SOPClassUID), str(image.SOPInstanceUID)) for image in source.datasets}
    derivation = result.SharedFunctionalGroupsSequence[0].DerivationImageSequence[0]
    for items in (series[0].ReferencedInstanceSequence, result.SourceImageSequence, derivation.SourceImageSequence):
        named = {(str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)) for item in items}
        require(named == known, "the images that it names are not the source's", WHERE)


def _mapped_values(result: Dataset) -> Values:
    """(frames, rows, columns) of a Parametric Map, once its stored values are the real ones."""
    mapping = result.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    for keyword, wanted in IDENTITY.items():
        require(mapping.get(keyword) == wanted, f"{keyword} is {mapping.get(keyword)}, not {wanted}", WHERE)
    unit = mapping.MeasurementUnitsCodeSequence[0]
    require((unit.CodeValue, unit.CodingSchemeDesignator) == ("1", "UCUM"), "the unit is not 1", WHERE)
    quantity = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    private = (quantity.CodeValue, quantity.CodingSchemeDesignator) == ("RISK-MAP", "99GLIANET")
    require(private, f"the quantity is {quantity.CodeMeaning}", WHERE)
    return _frames(result, np.frombuffer(result.FloatPixelData, "<f4"))


def _fractions(result: Dataset) -> Values:
    """(frames, rows, columns) of a FRACTIONAL SEG with one segment."""
    for keyword, wanted in FRACTIONAL.items():
        require(result.get(keyword) == wanted, f"{keyword} is {result.get(keyword)}, not {wanted}", WHERE)
    numbers = [int(item.SegmentNumber) for item in result.SegmentSequence]
    require(numbers == [1], f"the segments are {numbers}, not [1]", WHERE)
    return _frames(result, np.frombuffer(result.PixelData, np.uint8)) / 255


def _frames(result: Dataset, stored: npt.NDArray[np.generic]) -> Values:
    shape = int(result.NumberOfFrames), int(result.Rows), int(result.Columns)
    count = shape[0] * shape[1] * shape[2]
    require(count <= len(stored) <= count + 1, "the pixel data are not as long as the frames need", WHERE)
    return stored[:count].reshape(shape).astype(np.float64)


def _indices(result: Dataset, findings: Findings) -> npt.NDArray[np.int64]:
    """(frames, rows, columns, 3): the voxel (k, j, i) of the volume at the place of each voxel of the map."""
    points = _points(result)
    inverse = np.linalg.inv(findings.affine)
    indices = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.int64)
    exact = indices @ findings.affine[:3, :3].T + findings.affine[:3, 3]
    near = bool((np.linalg.norm(points - exact, axis=-1) <= POSITION_TOLERANCE_MM).all())
    require(near, "it does not lie on voxels of the volume that was analysed", WHERE)
    inside = bool(((indices >= 0) & (indices < findings.labels.shape)).all())
    require(inside, "it lies outside the volume that was analysed", WHERE)
    return indices


def _points(result: Dataset) -> Values:
    """(frames, rows, columns, 3) LPS mm: the centre of each voxel, as the header has it (PS3.3 C.7.6.2.1.1)."""
    shared = result.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, np.float64).reshape(2, 3)
    between_rows, between_columns = (float(size) for size in shared.PixelMeasuresSequence[0].PixelSpacing)
    groups = result.PerFrameFunctionalGroupsSequence
    firsts = np.array([item.PlanePositionSequence[0].ImagePositionPatient for item in groups], np.float64)
    rows, columns = np.arange(int(result.Rows)), np.arange(int(result.Columns))
    down = rows[:, None, None] * between_rows * orientation[1]
    along = columns[None, :, None] * between_columns * orientation[0]
    return firsts[:, None, None, :] + (down + along)


def _check_whole(indices: npt.NDArray[np.int64], result: Dataset, findings: Findings) -> None:
    """Neighbours are equally far apart and the ends of the volume at most half as far away; no slice repeats."""
    ordered = indices[:, 0, 0, 0]
    require((np.diff(ordered) > 0).all(), "its frames do not go from foot to head, each once", WHERE)
    measures = result.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    stated = (float(measures.SpacingBetweenSlices), *(float(size) for size in measures.PixelSpacing))
    voxel = np.linalg.norm(findings.affine[:3, :3], axis=0)
    for axis, length in enumerate(findings.labels.shape):
        step = stated[axis] / voxel[axis]
        along = np.unique(indices[..., axis])
        even = np.allclose(np.diff(along), step, rtol=0, atol=1e-3) and stated[axis] <= LARGEST_SPACING_MM
        require(even, f"its voxels along axis {axis} are not {stated[axis]} mm apart", WHERE)
        reached = along[0] <= step / 2 and along[-1] >= length - 1 - step / 2
        require(reached, f"it does not reach the ends of axis {axis} of the volume", WHERE)


def _expected(risk: RiskGrid, indices: npt.NDArray[np.int64]) -> Values:
    """Mean risk of the patches that cover each voxel, from sums over boxes of positions, not as it was encoded."""
    sums = np.zeros([length + 1 for length in risk.values.shape])
    sums[1:, 1:, 1:] = risk.values.astype(np.float64).cumsum(0).cumsum(1).cumsum(2)
    ends = [_covering(starts, indices[..., axis]) for axis, starts in enumerate(risk.starts)]
    total, count = np.zeros(indices.shape[:-1]), np.ones(indices.shape[:-1])
    for corner in np.ndindex(2, 2, 2):
        sign = 1 if sum(corner) % 2 else -1
        total += sign * sums[tuple(pair[which] for pair, which in zip(ends, corner, strict=True))]
    for first, last in ends:
        count *= last - first
    require((count > 0).all(), "no patch covers a voxel", WHERE)
    return total / count


def _covering(starts: Sequence[int], voxels: npt.NDArray[np.int64]) -> Ends:
    """First of the positions that cover each voxel, and the one behind the last; starts grow."""
    return np.searchsorted(starts, voxels - PATCH_SIZE, "right"), np.searchsorted(starts, voxels, "right")
