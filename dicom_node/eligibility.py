"""Which series are head CT angiograms that can be analysed: tables of rules, each with its coded reason."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dicom_node.contrast import measure_contrast
from dicom_node.frames import MULTI_FRAME_CLASSES, SINGLE_FRAME_CLASSES, Frame, read_value
from dicom_node.reasons import REASONS, NotAnalysable, Reason
from dicom_node.settings import SelectionSettings
from dicom_node.slice_plane import SlicePlane, slice_distances
from dicom_node.transfer_syntaxes import LOSSLESS, LOSSY
from glianet.volume import Volume

SPACING_ROUNDING_MM = 1e-3  # a spacing computed from positions written with three decimals
LARGEST_VOLUME = 2**31  # voxels: 4 GiB as int16, some 8,000 slices of 512 x 512
SAME_POSITION_MM = 0.01  # slices nearer than this are repetitions of one position
HOUNSFIELD_UNIT = "HU"  # PS3.3 C.11.1.1.2
LOSSY_DERIVATION = "113040"  # DCM, Lossy Compression; PS3.16 CID 7203
LARGEST_AIR_HU = -300  # a head CT shows air around the head; without any, the values are no Hounsfield units
MINIMUM_AIR_FRACTION = 0.001  # of the volume's voxels


@dataclass(frozen=True)
class FrameRule:
    """A rule on a single image: `violation` says what is wrong with it, or None."""

    reason: Reason
    violation: Callable[[Frame, SelectionSettings], str | None]


@dataclass(frozen=True)
class SeriesRule:
    """A rule on all slices' planes together."""

    reason: Reason
    violation: Callable[[Sequence[SlicePlane], SelectionSettings], str | None]


def check_frames(frames: Sequence[Frame], selection: SelectionSettings) -> None:
    """Apply the rules that need headers alone.

    First what no image of the series passes, then the number of slices, then what only some images fail.

    Raises:
        NotAnalysable: the first rule that fails.
    """
    violations = list(_violations(frames, selection))
    for reason, details in violations:
        if len(details) == len(frames) and REASONS[reason].kind == "not-a-candidate":
            raise NotAnalysable(reason, details[0])
    _check_count(len(frames), selection)
    for reason, details in violations:
        share = f"{len(details)} of {len(frames)} images: {details[0]}"
        partial = REASONS[reason].kind == "not-a-candidate"
        raise NotAnalysable(Reason.MIXED_IMAGES if partial else reason, share)


def check_planes_eligible(planes: Sequence[SlicePlane], selection: SelectionSettings) -> None:
    """Apply the rules that need the slices' places.

    Raises:
        NotAnalysable: the first rule that fails.
    """
    for rule in SERIES_RULES:
        detail = rule.violation(planes, selection)
        if detail is not None:
            raise NotAnalysable(rule.reason, detail)


def check_contrast(volume: Volume, selection: SelectionSettings) -> None:
    """Prove that the volume looks like a head with contrast-filled vessels; see `measure_contrast`.

    Raises:
        NotAnalysable: no air in the volume, so that its values are no Hounsfield units; or less than
            selection.contrast_minimum_volume_ml of contrast inside the head.
    """
    air = float(np.mean(volume.hu[:, ::4, ::4] < LARGEST_AIR_HU))
    if air < MINIMUM_AIR_FRACTION:
        raise NotAnalysable(Reason.HOUNSFIELD_UNAVAILABLE, f"no air below {LARGEST_AIR_HU} HU in the images")
    found = measure_contrast(
        volume.hu, volume.affine, selection.contrast_minimum_hu, selection.contrast_maximum_hu
    )
    if found < selection.contrast_minimum_volume_ml:
        raise NotAnalysable(
            Reason.NO_CONTRAST,
            f"{found:.2f} mL between {selection.contrast_minimum_hu:g} and {selection.contrast_maximum_hu:g} HU "
            f"inside the head, at least {selection.contrast_minimum_volume_ml:g} mL expected",
        )


def _violations(frames: Sequence[Frame], selection: SelectionSettings) -> Iterator[tuple[Reason, list[str]]]:
    for rule in FRAME_RULES:
        details = [detail for frame in frames if (detail := rule.violation(frame, selection)) is not None]
        if details:
            yield rule.reason, details


def _check_count(count: int, selection: SelectionSettings) -> None:
    if count < selection.minimum_slices:
        raise NotAnalysable(Reason.TOO_FEW_SLICES, f"{count} slices, at least {selection.minimum_slices}")
    if count > selection.maximum_slices:
        raise NotAnalysable(Reason.TOO_LARGE, f"{count} slices, at most {selection.maximum_slices}")


def _not_a_modality(frame: Frame, selection: SelectionSettings) -> str | None:
    modality = str(read_value(frame.header, "Modality") or "")
    return None if modality in selection.modalities else f"modality {modality[:16]!r}"


def _not_a_ct_class(frame: Frame, selection: SelectionSettings) -> str | None:
    sop_class_uid = read_value(frame.header, "SOPClassUID")
    known = sop_class_uid in SINGLE_FRAME_CLASSES + MULTI_FRAME_CLASSES
    return None if known else f"SOP class {sop_class_uid}"


def _other_body_part(frame: Frame, selection: SelectionSettings) -> str | None:
    """Only what names another part is refused: many heads come with an empty or fanciful value."""
    body_part = str(read_value(frame.header, "BodyPartExamined") or "").strip().upper()
    return f"body part {body_part[:16]!r}" if body_part in selection.refused_body_parts else None


def _localizer(frame: Frame, selection: SelectionSettings) -> str | None:
    refused = {value.upper() for value in selection.refused_image_types}
    return "image type LOCALIZER" if "LOCALIZER" in refused & _image_types(frame) else None


def _derived(frame: Frame, selection: SelectionSettings) -> str | None:
    refused = {value.upper() for value in selection.refused_image_types} - {"LOCALIZER"}
    met = sorted(refused & _image_types(frame))
    return f"image type {met[0]}" if met else None


def _image_types(frame: Frame) -> set[str]:
    """ImageType of the instance and FrameType of the frame, PS3.3 C.8.2.1.1.1 and C.8.15.3."""
    types = [read_value(frame.header, "ImageType")]
    if frame.number is not None:
        types.append(frame.value("CTImageFrameTypeSequence", "FrameType"))
    return {str(part).strip().upper() for value in types for part in _parts(value)}


def _parts(value: object) -> Sequence[object]:
    if value is None:
        return ()
    return value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def _lossy(frame: Frame, selection: SelectionSettings) -> str | None:
    transfer_syntax_uid = frame.header.file_meta.get("TransferSyntaxUID")
    if transfer_syntax_uid in LOSSY:
        return f"transfer syntax {LOSSY[transfer_syntax_uid]}"
    if str(read_value(frame.header, "LossyImageCompression") or "") == "01":  # PS3.3 C.7.6.1.1.5
        return "the header says that the image was compressed with loss"
    derivations = read_value(frame.header, "DerivationCodeSequence") or ()
    if any(read_value(code, "CodeValue") == LOSSY_DERIVATION for code in derivations):
        return "the header says that the image was derived by lossy compression"
    return None


def _unreadable_syntax(frame: Frame, selection: SelectionSettings) -> str | None:
    transfer_syntax_uid = frame.header.file_meta.get("TransferSyntaxUID")
    return None if transfer_syntax_uid in LOSSLESS else f"transfer syntax {transfer_syntax_uid}"


def _no_hounsfield(frame: Frame, selection: SelectionSettings) -> str | None:
    """CT values are HU where slope and intercept are there and no other unit is named; PS3.3 C.8.2.1.1.2."""
    group = "PixelValueTransformationSequence"
    slope = frame.numbers(group, "RescaleSlope", 1)
    intercept = frame.numbers(group, "RescaleIntercept", 1)
    if slope is None or intercept is None:
        return "RescaleSlope or RescaleIntercept is missing"
    if not (np.isfinite([*slope, *intercept]).all() and slope[0] > 0):
        return f"rescale slope {slope[0]:g}, intercept {intercept[0]:g}"
    unit = str(frame.value(group, "RescaleType") or HOUNSFIELD_UNIT)
    if unit != HOUNSFIELD_UNIT:
        return f"rescale type {unit[:16]!r}"
    return None


def _repeated(planes: Sequence[SlicePlane], selection: SelectionSettings) -> str | None:
    distances = np.sort(slice_distances(planes))
    starts = np.flatnonzero(np.diff(distances, prepend=-np.inf) > SAME_POSITION_MM)
    counts = np.diff(starts, append=len(distances))
    if counts.min() < 2:
        return None
    return f"{len(distances)} images at {len(starts)} positions"


def _too_thick(planes: Sequence[SlicePlane], selection: SelectionSettings) -> str | None:
    spacing = float(np.median(np.diff(np.sort(slice_distances(planes))))) if len(planes) > 1 else 0.0
    if spacing <= selection.maximum_slice_spacing_mm + SPACING_ROUNDING_MM:
        return None
    return f"{spacing:.2f} mm apart, at most {selection.maximum_slice_spacing_mm:g} mm"


def _not_axial(planes: Sequence[SlicePlane], selection: SelectionSettings) -> str | None:
    angle = planes[0].axial_angle_degrees
    if angle <= selection.maximum_axial_angle_degrees:
        return None
    return f"{angle:.1f} degrees from axial, at most {selection.maximum_axial_angle_degrees:g}"


def _too_many_voxels(planes: Sequence[SlicePlane], selection: SelectionSettings) -> str | None:
    voxels = sum(plane.rows * plane.columns for plane in planes)
    return None if voxels <= LARGEST_VOLUME else f"{voxels} voxels, at most {LARGEST_VOLUME}"


FRAME_RULES: tuple[FrameRule, ...] = (
    FrameRule(Reason.MODALITY, _not_a_modality),
    FrameRule(Reason.SOP_CLASS, _not_a_ct_class),
    FrameRule(Reason.BODY_PART, _other_body_part),
    FrameRule(Reason.IMAGE_TYPE_LOCALIZER, _localizer),
    FrameRule(Reason.IMAGE_TYPE_DERIVED, _derived),
    FrameRule(Reason.LOSSY_COMPRESSION, _lossy),
    FrameRule(Reason.TRANSFER_SYNTAX, _unreadable_syntax),
    FrameRule(Reason.HOUNSFIELD_UNAVAILABLE, _no_hounsfield),
)

SERIES_RULES: tuple[SeriesRule, ...] = (
    SeriesRule(Reason.NOT_AXIAL, _not_axial),
    SeriesRule(Reason.REPEATED_POSITIONS, _repeated),
    SeriesRule(Reason.SLICE_SPACING_TOO_LARGE, _too_thick),
    SeriesRule(Reason.TOO_LARGE, _too_many_voxels),
)
