"""The kinds of results that a destination may get, by the names that deliveries and the audit log know them by.

A kind that comes in several forms has a name for each: `seg` is one Segmentation of all lesions, binary, without empty
frames, `seg-labelmap` the same as a label map. A report refers to the Segmentation that its destination gets, so that
its name carries the form of that one too: `sr-labelmap-enhanced`.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal

SegmentationType = Literal["binary", "labelmap"]
ReportForm = Literal["comprehensive-3d", "comprehensive", "enhanced"]
RiskMapForm = Literal["parametric-map", "segmentation"]
TYPES: tuple[SegmentationType, ...] = ("binary", "labelmap")

SEGMENTATION, REPORT = "seg", "sr"
"""The usual forms."""
KEY_IMAGES = "key-image"
PRESENTATION_STATE = "presentation-state"
PDF = "pdf"
PROBABILITY = "probability"
RISK_MAP, RISK_MAP_AS_SEGMENTATION = "risk-map", "risk-map-segmentation"
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
"""Label Map Segmentation Storage (PS3.6 table A-1), which pydicom does not know yet."""


@dataclass(frozen=True)
class SegmentationForm:
    """How lesions are written as Segmentations (PS3.3 A.51).

    kind: BINARY or LABELMAP. apart: an object for each lesion, with one segment, instead of one object for all.
    empty_frames: a frame for every slice of the source, instead of those alone that hold a lesion.
    """

    kind: SegmentationType = "binary"
    apart: bool = False
    empty_frames: bool = False

    @property
    def suffix(self) -> str:
        """What the names of results in this form end with."""
        parts = ("-labelmap", self.kind == "labelmap"), ("-all-frames", self.empty_frames), ("-each", self.apart)
        return "".join(part for part, applies in parts if applies)

    @property
    def result_kind(self) -> str:
        """Its name among the kinds of results."""
        return f"seg{self.suffix}"


def report_kind(segmentation: SegmentationForm, form: ReportForm) -> str:
    """The name of a report in `form` that refers to Segmentations in the form `segmentation`."""
    return f"sr{segmentation.suffix}" + ("" if form == "comprehensive-3d" else f"-{form}")


SEGMENTATIONS: dict[str, SegmentationForm] = {
    form.result_kind: form
    for form in (
        SegmentationForm(kind, apart, empty_frames)
        for kind, apart, empty_frames in product(TYPES, (False, True), (False, True))
    )
}
"""The form of a Segmentation, by its name."""

REPORTS: dict[str, tuple[SegmentationForm, ReportForm]] = {
    report_kind(segmentation, form): (segmentation, form)
    for segmentation in SEGMENTATIONS.values()
    for form in ("comprehensive-3d", "comprehensive", "enhanced")
}
"""The forms of a report and of the Segmentations that it refers to, by its name."""

STATEMENTS = frozenset((*REPORTS, KEY_IMAGES, PDF))
"""Kinds that say in words what was found, or that nothing was, or why nothing was looked for."""
