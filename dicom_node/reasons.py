"""Why a series is not analysed: one code for each rule and defect, in the words that reach the PACS."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from dicom_node.errors import NodeError


class Reason(StrEnum):
    """The codes; they stand in the database, the audit log and the SR, so they never change their meaning."""

    MODALITY = "modality"
    SOP_CLASS = "sop-class"
    BODY_PART = "body-part"
    IMAGE_TYPE_LOCALIZER = "image-type-localizer"
    IMAGE_TYPE_DERIVED = "image-type-derived"
    TOO_FEW_SLICES = "too-few-slices"
    REPEATED_POSITIONS = "repeated-positions"
    SLICE_SPACING_TOO_LARGE = "slice-spacing-too-large"
    NOT_AXIAL = "not-axial"
    NO_CONTRAST = "no-contrast"
    TOO_LARGE = "too-large"
    MIXED_IMAGES = "mixed-images"
    HOUNSFIELD_UNAVAILABLE = "hounsfield-unavailable"
    LOSSY_COMPRESSION = "lossy-compression"
    TRANSFER_SYNTAX = "transfer-syntax"
    MISSING_GEOMETRY = "missing-geometry"
    INVALID_GEOMETRY = "invalid-geometry"
    MIXED_ORIENTATION = "mixed-orientation"
    MIXED_PIXEL_SPACING = "mixed-pixel-spacing"
    MIXED_MATRIX = "mixed-matrix"
    MIXED_FRAME_OF_REFERENCE = "mixed-frame-of-reference"
    MIXED_SERIES = "mixed-series"
    DUPLICATE_POSITION = "duplicate-position"
    MISSING_SLICE = "missing-slice"
    UNEVEN_SPACING = "uneven-spacing"
    GANTRY_TILT = "gantry-tilt"
    SEVERAL_MULTI_FRAMES = "several-multi-frames"
    CONFLICTING_INSTANCES = "conflicting-instances"
    CHANGED_PATIENT = "changed-patient"
    IMAGES_DELETED = "images-deleted"
    HEADER_UNREADABLE = "header-unreadable"
    PIXEL_FORMAT = "pixel-format"
    PIXEL_DATA_UNREADABLE = "pixel-data-unreadable"
    ABANDONED = "abandoned"


Kind = Literal["not-a-candidate", "defect", "given-up"]


@dataclass(frozen=True)
class RefusalReason:
    """What a code means.

    kind: "not-a-candidate" where the series simply is no head CTA (a scout, a MIP, thick slices), "defect"
    where it may be one but cannot be trusted, "given-up" where the node failed and its administrator gave up. text: a
    sentence for the radiologist. advice: what the PACS administrator can do.
    """

    code: Reason
    kind: Kind
    text: str
    advice: str


class NotAnalysable(NodeError):
    """The series is not analysed.

    reason: the code. detail: what exactly was met (numbers and units, no names), for the audit log and the SR.
    """

    def __init__(self, reason: Reason, detail: str, *, where: str = "series") -> None:
        self.reason = reason
        self.detail = detail
        explained = REASONS[reason]
        super().__init__(f"[{reason}] {explained.text} ({detail})", where=where, advice=explained.advice)

    def __reduce__(self) -> tuple[object, ...]:  # so that it may cross a process boundary
        return _restore, (self.reason, self.detail, self.where)


def _restore(reason: Reason, detail: str, where: str) -> NotAnalysable:
    return NotAnalysable(reason, detail, where=where)


_RESEND = "Send the whole series again from the scanner or the PACS."

_NOT_A_CANDIDATE: dict[Reason, tuple[str, str]] = {
    Reason.MODALITY: (
        "The series is not a CT series.",
        "Nothing needs to be done; route only head CTA series to this node to spare it the work.",
    ),
    Reason.SOP_CLASS: (
        "The series does not consist of CT images.",
        "Nothing needs to be done; dose reports and secondary captures are not analysed.",
    ),
    Reason.BODY_PART: (
        "The series is of another part of the body.",
        "Where it shows the head, correct Body Part Examined; see [selection] refused_body_parts.",
    ),
    Reason.IMAGE_TYPE_LOCALIZER: (
        "The series is a localizer (scout view).",
        "Nothing needs to be done.",
    ),
    Reason.IMAGE_TYPE_DERIVED: (
        "The series holds reformatted or projected images (MPR, MIP, rendering), not the source slices.",
        "Send the thin axial source slices. The refused image types stand in [selection] refused_image_types.",
    ),
    Reason.TOO_FEW_SLICES: (
        "The series has too few slices for a head CT angiogram.",
        "Check that the series arrived in full; the limit is [selection] minimum_slices.",
    ),
    Reason.REPEATED_POSITIONS: (
        "The series shows every position several times (perfusion, bolus monitoring or several phases).",
        "Send one phase as a series of its own.",
    ),
    Reason.SLICE_SPACING_TOO_LARGE: (
        "The slices lie too far apart for the detection of small aneurysms.",
        "Send the thin reconstruction; the limit is [selection] maximum_slice_spacing_mm.",
    ),
    Reason.NOT_AXIAL: (
        "The slices are not axial.",
        "Send the axial source slices; the limit is [selection] maximum_axial_angle_degrees.",
    ),
    Reason.NO_CONTRAST: (
        "No contrast-filled vessels were found inside the head.",
        "Where this was a CT angiogram, look at its timing and at [selection] contrast_minimum_volume_ml.",
    ),
    Reason.TOO_LARGE: (
        "The series is larger than this node analyses.",
        "Send the head alone; the limits are [selection] maximum_slices and 128 MiB of headers.",
    ),
}

_DEFECT: dict[Reason, tuple[str, str]] = {
    Reason.MIXED_IMAGES: (
        "The series mixes source slices with images of another kind.",
        "Send the source slices as a series of their own.",
    ),
    Reason.HOUNSFIELD_UNAVAILABLE: (
        "The pixel values cannot be read as Hounsfield units.",
        "Send the scanner's original images; check what software on the way changes the rescale attributes.",
    ),
    Reason.LOSSY_COMPRESSION: (
        "The images were compressed with loss; their Hounsfield units cannot be trusted.",
        "Send the original or losslessly compressed images.",
    ),
    Reason.TRANSFER_SYNTAX: (
        "The images are stored in a transfer syntax that this node does not read.",
        "Have the sender use Explicit VR Little Endian or a lossless JPEG, JPEG-LS, JPEG 2000 or RLE syntax.",
    ),
    Reason.MISSING_GEOMETRY: (
        "The position, orientation or pixel spacing of images is not stated.",
        "Check what software on the way removes attributes; " + _RESEND[0].lower() + _RESEND[1:],
    ),
    Reason.INVALID_GEOMETRY: (
        "The stated position, orientation or pixel spacing of images is impossible.",
        "Check what software on the way changes attributes; " + _RESEND[0].lower() + _RESEND[1:],
    ),
    Reason.MIXED_ORIENTATION: (
        "The slices do not all have the same orientation.",
        "Send each orientation as a series of its own.",
    ),
    Reason.MIXED_PIXEL_SPACING: (
        "The slices do not all have the same pixel spacing.",
        "Send each reconstruction as a series of its own.",
    ),
    Reason.MIXED_MATRIX: (
        "The slices do not all have the same number of rows and columns.",
        "Send each reconstruction as a series of its own.",
    ),
    Reason.MIXED_FRAME_OF_REFERENCE: (
        "The slices do not share one frame of reference; the patient may have moved between them.",
        "Send each acquisition as a series of its own.",
    ),
    Reason.MIXED_SERIES: (
        "The instances do not all belong to one study and series.",
        "Check the sender: study, series and patient must agree in all instances of a series.",
    ),
    Reason.DUPLICATE_POSITION: (
        "Several slices lie at the same position.",
        "Check whether two reconstructions were sent under one Series Instance UID.",
    ),
    Reason.MISSING_SLICE: (
        "Slices are missing; an aneurysm could lie in the gap.",
        _RESEND + " The series is looked at again as soon as the missing slices arrive.",
    ),
    Reason.UNEVEN_SPACING: (
        "The slices are not evenly spaced.",
        "Send an evenly spaced reconstruction; the tolerance is [assembly] position_tolerance_mm.",
    ),
    Reason.GANTRY_TILT: (
        "The slices were acquired with a tilted gantry and are sheared against each other.",
        "Send a reconstruction without tilt; the limit is [assembly] maximum_gantry_tilt_degrees.",
    ),
    Reason.SEVERAL_MULTI_FRAMES: (
        "The series is spread over several multi-frame instances.",
        "Send it as one multi-frame instance or as single slices.",
    ),
    Reason.CONFLICTING_INSTANCES: (
        "An image arrived more than once with different content.",
        "Find out which content is right and send it under a new SOP Instance UID in a new series.",
    ),
    Reason.CHANGED_PATIENT: (
        "Images arrived again with other patient data; earlier results carry the patient data that came first.",
        "Find out which patient is right and correct or withdraw earlier results in the PACS. To have the series "
        "analysed with the corrected data, delete its images here (`dicom-node purge SERIES_UID`) and send all of it "
        "again.",
    ),
    Reason.IMAGES_DELETED: (
        "Images arrived for a series whose earlier images are no longer in the node, and not all of them came again; "
        "an earlier report holds for the images that it names.",
        _RESEND,
    ),
    Reason.HEADER_UNREADABLE: (
        "The header of an image cannot be read.",
        _RESEND,
    ),
    Reason.PIXEL_FORMAT: (
        "The pixels are stored in a form that a CT image cannot have.",
        "Send the scanner's original images.",
    ),
    Reason.PIXEL_DATA_UNREADABLE: (
        "The pixels of an image are damaged or incomplete.",
        _RESEND,
    ),
}

_GIVEN_UP: dict[Reason, tuple[str, str]] = {
    Reason.ABANDONED: (
        "The software failed on the series, and the node's administrator gave up on it; an earlier report, if there is "
        "one, holds for the images that it names.",
        "The audit log says who did, why, and what had failed; `dicom-node reanalyse SERIES_UID` tries it again.",
    ),
}


def _table(entries: dict[Reason, tuple[str, str]], kind: Kind) -> dict[Reason, RefusalReason]:
    return {code: RefusalReason(code, kind, text, advice) for code, (text, advice) in entries.items()}


REASONS: dict[Reason, RefusalReason] = (
    _table(_NOT_A_CANDIDATE, "not-a-candidate") | _table(_DEFECT, "defect") | _table(_GIVEN_UP, "given-up")
)
