"""Self-check of the presentation state: do its outlines, filled, give back what was found, on the right images?

Nothing of the encoder is used here: polylines are filled by the even-odd rule, and the pixels put in their place in
the patient by what the headers of the images say that the outlines are drawn on.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage

from dicom_node.encoding.check_identity import check_identity, complete, require
from dicom_node.encoding.part10 import EncodedObject
from dicom_node.encoding.source_frames import SourceFrame, source_frames
from dicom_node.frames import list_frames
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings

WHERE = "PRESENTATION-STATE"
INDEX_TOLERANCE = 0.02  # voxels; Decimal Strings of positions and directions add up to less over a slice
SPACING_TOLERANCE = 1e-6  # relative; Decimal Strings hold ten digits
WINDOW_CENTER, WINDOW_WIDTH = 200.0, 600.0
POINT = 2  # numbers of a point: column, row
Key = tuple[str, int | None]
Polyline = npt.NDArray[np.float64]


def check_presentation_state(encoded: EncodedObject, source: SourceSeries, findings: Findings) -> None:
    """Pass if outlines and labels are those of `findings`, drawn on the source's images with the right window.

    Raises:
        NodeError: naming the first thing that is wrong.
    """
    with complete(WHERE):
        state = check_identity(encoded, GrayscaleSoftcopyPresentationStateStorage, source.datasets)
        _check_references(state, source)
        _check_grey_values(state, source)
        frames = {frame.key: frame for frame in source_frames(source.datasets)}
        _check_displayed_area(state, frames)
        _check_layers(state)
        _check_outlines(state, frames, findings)
        _check_labels(state, frames, findings)


def _check_references(state: Dataset, source: SourceSeries) -> None:
    """It applies to every image of the source's series, each named once."""
    series = [str(item.SeriesInstanceUID) for item in state.ReferencedSeriesSequence]
    require(series == [str(source.datasets[0].SeriesInstanceUID)], f"it refers to the series {series}", WHERE)
    listed = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    named = [_reference(item) for item in listed]
    images = [(str(image.SOPClassUID), str(image.SOPInstanceUID)) for image in source.datasets]
    require(sorted(named) == sorted(images), "it does not refer to every image of the series", WHERE)
    require(not any("ReferencedFrameNumber" in item for item in listed), "it applies to some frames alone", WHERE)
    items = [item for graphics in state.GraphicAnnotationSequence for item in graphics.ReferencedImageSequence]
    used = {_reference(item) for item in items}
    require(used <= set(images), "an annotation refers to an image that is not the source's", WHERE)


def _reference(item: Dataset) -> tuple[str, str]:
    return str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)


def _check_grey_values(state: Dataset, source: SourceSeries) -> None:
    """From stored values to the screen: the images' own rescaling, one window, no further curve (PS3.4 N.2)."""
    group = "PixelValueTransformationSequence"
    stated = float(state.RescaleSlope), float(state.RescaleIntercept)
    for dataset in source.datasets:
        for frame in list_frames(dataset):
            own = frame.numbers(group, "RescaleSlope", 1), frame.numbers(group, "RescaleIntercept", 1)
            require(own == ((stated[0],), (stated[1],)), f"the rescaling is {stated}, an image's {own}", WHERE)
    require(state.RescaleType == "HU", f"the unit of the window is {state.RescaleType}, not HU", WHERE)
    (window,) = state.SoftcopyVOILUTSequence
    form = float(window.WindowCenter), float(window.WindowWidth), window.get("VOILUTFunction") or "LINEAR"
    require(form == (WINDOW_CENTER, WINDOW_WIDTH, "LINEAR"), f"the window is {form}", WHERE)
    limited = "ReferencedImageSequence" in window or "VOILUTSequence" in window
    require(not limited, "the window does not hold for every image", WHERE)
    require(state.PresentationLUTShape == "IDENTITY", "the presentation LUT is not IDENTITY", WHERE)


def _check_displayed_area(state: Dataset, frames: dict[Key, SourceFrame]) -> None:
    """Whole images, from the first pixel, 1\\1, to the last (PS3.3 C.10.4), in true proportions."""
    (area,) = state.DisplayedAreaSelectionSequence
    require("ReferencedImageSequence" not in area, "the displayed area is not that of every image", WHERE)
    corners = (*area.DisplayedAreaTopLeftHandCorner, *area.DisplayedAreaBottomRightHandCorner)
    spacing = np.array(area.PresentationPixelSpacing, dtype=np.float64)
    for frame in frames.values():
        rows, columns = frame.matrix
        require(corners == (1, 1, columns, rows), f"the displayed area is {corners}", WHERE)
        alike = np.allclose(spacing, frame.spacing, rtol=SPACING_TOLERANCE)
        require(alike, f"the pixel spacing is {spacing}, an image's {frame.spacing}", WHERE)


def _check_layers(state: Dataset) -> None:
    layers = [str(layer.GraphicLayer) for layer in state.GraphicLayerSequence]
    used = {str(graphics.GraphicLayer) for graphics in state.GraphicAnnotationSequence}
    require(used <= set(layers) and len(set(layers)) == len(layers), f"layers {layers}, used {sorted(used)}", WHERE)


def _check_outlines(state: Dataset, frames: dict[Key, SourceFrame], findings: Findings) -> None:
    """Fill the outlines, put the pixels back into the volume by the images' headers, and compare."""
    rebuilt = np.zeros_like(findings.labels)
    for (key, number), polylines in _polylines(state, findings).items():
        mask = fill_even_odd(polylines, *frames[key].matrix)
        indices = _canonical_indices(frames[key], mask, findings)
        require(not rebuilt[indices].any(), "the outlines of two lesions overlap", WHERE)
        rebuilt[indices] = number
    pairs = zip(rebuilt, findings.labels, strict=True)
    differing = sum(int(np.count_nonzero(ours != found)) for ours, found in pairs)
    require(differing == 0, f"{differing} voxels differ from the mask that was found", WHERE)


def _polylines(state: Dataset, findings: Findings) -> dict[tuple[Key, int], list[Polyline]]:
    """The closed polylines of each lesion on each image, once every one says whose it is."""
    numbers = _numbers(findings)
    found: dict[tuple[Key, int], list[Polyline]] = defaultdict(list)
    uids: dict[int, set[str]] = defaultdict(set)
    for key, graphic in _objects(state, "GraphicObjectSequence"):
        require(graphic.TrackingID in numbers, f"an outline is named {graphic.TrackingID!r}", WHERE)
        number = numbers[graphic.TrackingID]
        uids[number].add(str(graphic.TrackingUID))
        found[key, number].append(_closed_polyline(graphic))
    own = {uid for several in uids.values() for uid in several}
    proper = all(len(several) == 1 for several in uids.values()) and len(own) == len(uids)
    require(proper, "tracking UIDs do not tell the lesions apart", WHERE)
    return found


def _numbers(findings: Findings) -> dict[str, int]:
    return {f"Aneurysm candidate {lesion.number}": lesion.number for lesion in findings.lesions}


def _objects(state: Dataset, keyword: str) -> Iterator[tuple[Key, Dataset]]:
    """Each graphic or text object with the one image, or frame, that it is drawn on."""
    for graphics in state.GraphicAnnotationSequence:
        (image,) = graphics.ReferencedImageSequence
        number = image.get("ReferencedFrameNumber")
        key = str(image.ReferencedSOPInstanceUID), None if number is None else int(number)
        for item in graphics.get(keyword) or []:
            yield key, item


def _closed_polyline(graphic: Dataset) -> Polyline:
    """(points, 2) column and row of the outline in PIXEL units (PS3.3 C.10.5)."""
    form = graphic.GraphicType, graphic.GraphicAnnotationUnits, int(graphic.GraphicDimensions)
    require(form == ("POLYLINE", "PIXEL", POINT), f"an outline has the form {form}", WHERE)
    numbers = np.array(graphic.GraphicData, dtype=np.float64)
    require(len(numbers) == POINT * int(graphic.NumberOfGraphicPoints), "an outline lacks points", WHERE)
    points = numbers.reshape(-1, POINT)
    require(np.array_equal(points[0], points[-1]), "an outline is not closed", WHERE)
    require(np.array_equal(points, np.rint(points)), "an outline does not run along the pixels' edges", WHERE)
    return points


def fill_even_odd(polylines: Sequence[Polyline], rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """(rows, columns): the pixels whose centres lie inside of an odd number of the closed `polylines`.

    The centre of the pixel of row r and column c is (c + 0.5, r + 0.5) in PIXEL units.
    """
    inside = np.zeros((rows, columns), dtype=np.bool_)
    x, y = np.arange(columns) + 0.5, np.arange(rows) + 0.5
    for polyline in polylines:
        for (x_0, y_0), (x_1, y_1) in pairwise(polyline.tolist()):
            crossed = np.flatnonzero((y_0 <= y) != (y_1 <= y))
            if len(crossed):
                crossing = x_0 + (y[crossed] - y_0) * (x_1 - x_0) / (y_1 - y_0)
                inside[crossed] ^= crossing[:, None] < x
    return inside


def _canonical_indices(
    frame: SourceFrame, mask: npt.NDArray[np.bool_], findings: Findings
) -> tuple[npt.NDArray[np.int64], ...]:
    """Indices (k, j, i) of the set pixels of an image, from where its header says that they lie."""
    rows, columns = np.nonzero(mask)
    along_row = columns[:, None] * frame.spacing[1] * frame.directions[0]
    along_column = rows[:, None] * frame.spacing[0] * frame.directions[1]
    points = np.c_[frame.position + along_row + along_column, np.ones(len(rows))]
    exact = (points @ np.linalg.inv(findings.affine).T)[:, :3]
    indices = np.rint(exact).astype(np.int64)
    on_grid = bool((np.abs(exact - indices) <= INDEX_TOLERANCE).all())
    inside = bool(((indices >= 0) & (indices < findings.labels.shape)).all())
    require(on_grid and inside, "an image does not lie on the volume that was analysed", WHERE)
    return tuple(indices.T)


def _check_labels(state: Dataset, frames: dict[Key, SourceFrame], findings: Findings) -> None:
    """Each lesion has one label, with its number, in the slice of its centre, inside the image."""
    centres = {f"Aneurysm candidate {lesion.number}": lesion.centre_index[0] for lesion in findings.lesions}
    found: list[str] = []
    for key, text in _objects(state, "TextObjectSequence"):
        label, frame = str(text.UnformattedTextValue), frames[key]
        require(text.TrackingID == label, f"the label {label!r} belongs to {text.TrackingID!r}", WHERE)
        first_pixel = np.zeros(frame.matrix, dtype=np.bool_)
        first_pixel[0, 0] = True
        k = int(_canonical_indices(frame, first_pixel, findings)[0][0])
        require(centres.get(label) == k, f"the label {label!r} stands in slice {k}", WHERE)
        _check_place(text, frame)
        found.append(label)
    require(sorted(found) == sorted(centres), f"the labels are {sorted(found)}", WHERE)


def _check_place(text: Dataset, frame: SourceFrame) -> None:
    units = {text.BoundingBoxAnnotationUnits, text.AnchorPointAnnotationUnits}
    corners = [text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner, text.AnchorPoint]
    points = np.array(corners, dtype=np.float64)
    inside = (points >= 0).all() and (points <= frame.matrix[::-1]).all() and (points[0] < points[1]).all()
    require(units == {"PIXEL"} and inside, "a label lies outside the image", WHERE)
