"""The first page: thick projections in three planes with a numbered mark on each lesion, and a table of them."""

import numpy as np

from dicom_node.encoding.pages.panels import Panel, draw_panel
from dicom_node.encoding.pages.sheet import (
    AMBER,
    BLACK,
    GREY,
    HEADER,
    PAGE,
    SMALL,
    TEXT,
    Picture,
    Sheet,
    text_size,
    write_footer,
)
from dicom_node.encoding.pages.slab import PLANES, Frame, place
from glianet.findings import Findings, Lesion
from glianet.volume import Volume

SIDE, GAP = 408, 8
SLAB_MM, MARGIN_MM = (20.0, 40.0), 5.0
"""Least and greatest depth of a slab, and what it shows beyond the outermost lesions."""
RING = 9
"""Pixels of the least radius of a mark: around the lesion, never on it."""
COLUMNS = (("No.", 0), ("diameter", 70), ("volume", 178), ("score", 286), ("image", 366))
ROWS = 12
Box = tuple[float, float, float, float]


def draw_overview_page(volume: Volume, findings: Findings, images: list[str], footer: list[str]) -> Picture:
    """(1024, 1024, 3) uint8 RGB. images: for each lesion, the number of its centre's slice in the source."""
    count = len(findings.lesions)
    sheet = Sheet("1 aneurysm candidate" if count == 1 else f"{count} aneurysm candidates")
    left = (PAGE - 2 * SIDE - GAP) // 2
    corners = [(left, HEADER), (left + SIDE + GAP, HEADER), (left, HEADER + SIDE + GAP)]
    for plane, corner in zip(PLANES, corners, strict=True):
        frame = _frame(volume, findings, plane.axis)
        draw_panel(sheet, volume, Panel(frame, corner, f"{plane.name}, MIP of {frame.slab_mm:.0f} mm"))
        _draw_marks(sheet, volume, findings, frame, corner)
    _draw_table(sheet, findings, images, left + SIDE + GAP + 18, HEADER + SIDE + GAP + 8)
    sheet.paragraph(
        HEADER + 2 * SIDE + GAP + 14,
        "A radiologist has to confirm or reject each candidate; further aneurysms are not excluded. Scores are the "
        "network's own, not probabilities. A number in brackets: the candidate lies outside the slab that is shown.",
        size=SMALL + 1,
    )
    write_footer(sheet, footer)
    return sheet.pixels()


def _frame(volume: Volume, findings: Findings, axis: int) -> Frame:
    """The whole extent of the volume in the plane, and a slab across as many lesions as it can hold."""
    boxes = np.array([lesion.bounding_box for lesion in findings.lesions], float)
    first, last = boxes[:, :, 0].min(0), boxes[:, :, 1].max(0) - 1
    centre = [(length - 1) / 2 for length in volume.shape]
    centre[axis] = float(first[axis] + last[axis]) / 2
    reach = (last[axis] - first[axis] + 1) * volume.spacing_mm[axis] + 2 * MARGIN_MM
    field = max(
        length * spacing
        for other, (length, spacing) in enumerate(zip(volume.shape, volume.spacing_mm, strict=True))
        if other != axis
    )
    return Frame(PLANES[axis], (centre[0], centre[1], centre[2]), field, float(np.clip(reach, *SLAB_MM)), SIDE)


def _draw_marks(sheet: Sheet, volume: Volume, findings: Findings, frame: Frame, corner: tuple[int, int]) -> None:
    rings = [_ring(volume, lesion, frame, corner) for lesion in findings.lesions]
    taken: list[Box] = [(x - r, y - r, x + r, y + r) for x, y, r in rings]
    for x, y, radius in rings:
        for width, colour in ((5, BLACK), (2, AMBER)):
            reach = radius + width // 2
            sheet.draw.ellipse((x - reach, y - reach, x + reach, y + reach), outline=colour, width=width)
    for lesion, (x, y, radius) in zip(findings.lesions, rings, strict=True):
        label = _label(volume, lesion, frame)
        box = _free_place(label, (x, y, radius), taken, corner)
        taken.append(box)
        sheet.text(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), label, colour=AMBER, anchor="mm", rim=3)


def _ring(volume: Volume, lesion: Lesion, frame: Frame, corner: tuple[int, int]) -> tuple[float, float, float]:
    """Centre and radius, in pixels of the page, of a circle that holds the lesion."""
    k, j, i = ((first + last - 1) / 2 for first, last in lesion.bounding_box)
    x, y = place(frame, volume, (k, j, i))
    reach = lesion.maximum_diameter_mm / 2 * frame.pixels / frame.field_mm
    return x + corner[0], y + corner[1], max(RING, reach + 4)


def _label(volume: Volume, lesion: Lesion, frame: Frame) -> str:
    """The lesion's number; in brackets where its centre lies outside the slab."""
    axis = frame.plane.axis
    away = abs(lesion.centre_index[axis] - frame.centre[axis]) * volume.spacing_mm[axis]
    return str(lesion.number) if away <= frame.slab_mm / 2 else f"({lesion.number})"


def _free_place(label: str, ring: tuple[float, float, float], taken: list[Box], corner: tuple[int, int]) -> Box:
    """The nearest place around a ring where a label meets neither another label nor any ring; else above it."""
    width, height = text_size(label, TEXT)
    x, y, radius = ring
    candidates = []
    for distance in range(0, 120, 8):
        for turn in np.arange(8) * np.pi / 4:
            reach = radius + 4 + distance
            middle = x + (reach + width / 2) * np.cos(turn), y - (reach + height / 2) * np.sin(turn)
            box = (middle[0] - width / 2, middle[1] - height / 2, middle[0] + width / 2, middle[1] + height / 2)
            candidates.append(box)
    inside = [box for box in candidates if _within(box, corner)]
    return next((box for box in inside if not any(_meet(box, other) for other in taken)), (inside or candidates)[0])


def _within(box: Box, corner: tuple[int, int]) -> bool:
    left, top = corner
    return box[0] > left + 4 and box[1] > top + 4 and box[2] < left + SIDE - 4 and box[3] < top + SIDE - 4


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _draw_table(sheet: Sheet, findings: Findings, images: list[str], left: int, top: int) -> None:
    for name, x in COLUMNS:
        sheet.text((left + x, top), name, size=SMALL, colour=GREY)
    for row, (lesion, image) in enumerate(zip(findings.lesions[:ROWS], images, strict=False), start=1):
        values = (
            str(lesion.number),
            f"{lesion.maximum_diameter_mm:.1f} mm",
            f"{lesion.volume_mm3:.0f} mm3",
            f"{100 * lesion.mean_score:.0f} %",
            image,
        )
        for (_, x), value in zip(COLUMNS, values, strict=True):
            sheet.text((left + x, top + 30 * row), value, size=TEXT, colour=AMBER if x == 0 else (255, 255, 255))
    if len(findings.lesions) > ROWS:
        more = f"and {len(findings.lesions) - ROWS} more: see the report"
        sheet.text((left, top + 30 * (ROWS + 1)), more, size=TEXT, colour=GREY)
