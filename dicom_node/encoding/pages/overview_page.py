"""The first page: thick projections in three planes with a numbered mark on each lesion, and a table of them."""

import numpy as np
from PIL import Image, ImageDraw

from dicom_node.encoding.pages.panels import Panel, draw_panel
from dicom_node.encoding.pages.sheet import (
    AMBER,
    BLACK,
    GREY,
    HEADER,
    PAGE,
    SMALL,
    TEXT,
    WHITE,
    Picture,
    Sheet,
    new_sheet,
    text_size,
    write_footer,
)
from dicom_node.encoding.pages.slab import PLANES, Frame, caption, place, project, shadow, slab_range
from glianet.findings import Findings, Lesion
from glianet.volume import Volume

SIDE, GAP = 408, 8
SLAB_MM, MARGIN_MM = (20.0, 40.0), 5.0
"""Least and greatest depth of a slab, and what it shows beyond the outermost lesions in it."""
RING, CLEARANCE = 9, 6
"""Pixels: the least radius of a mark, and what lies between it and the lesion's corners."""
COLUMNS = (("No.", 0), ("diameter", 60), ("volume", 160), ("score", 290), ("image", 362))
ROWS = 11
STEPS = range(0, 120, 8)
"""Pixels from a ring at which a place for its number is looked for."""

Box = tuple[float, float, float, float]
Ring = tuple[float, float, float]
"""Centre (x, y) and radius, in pixels of a panel."""


def draw_overview_page(
    volume: Volume, findings: Findings, images: list[str], series: str, footer: list[str], *, pages: int
) -> Picture:
    """(1024, 1024, 3) uint8 RGB.

    images: for each lesion, its centre's slice in the source; series: which that is; pages: how many lesions at most
    have pages of their own.
    """
    count = len(findings.lesions)
    sheet = new_sheet("1 aneurysm candidate" if count == 1 else f"{count} aneurysm candidates")
    left = (PAGE - 2 * SIDE - GAP) // 2
    corners = [(left, HEADER), (left + SIDE + GAP, HEADER), (left, HEADER + SIDE + GAP)]
    for plane, corner in zip(PLANES, corners, strict=True):
        frame = _frame(volume, findings, plane.axis)
        draw_panel(sheet, volume, Panel(frame, corner, caption(volume, frame)))
        _draw_marks(sheet, volume, findings, frame, corner)
    _draw_table(sheet, findings, images, left + SIDE + GAP + 18, HEADER + SIDE + GAP + 8, pages)
    sheet.paragraph(
        HEADER + 2 * SIDE + GAP + 10,
        f"Images are those of {series}, window 600/200 HU. A radiologist has to confirm or reject each candidate; "
        "further aneurysms are not excluded. Scores are the network's own, not probabilities. A number in brackets: "
        "the candidate lies outside the slab that is shown.",
        size=SMALL,
    )
    write_footer(sheet, footer)
    return sheet.pixels()


def _frame(volume: Volume, findings: Findings, axis: int) -> Frame:
    """The whole extent of the volume in the plane, and the slab across it that holds most lesions."""
    first, last = _fullest_range(volume, findings, axis)
    centre = [(length - 1) / 2 for length in volume.shape]
    centre[axis] = (first + last) / 2
    reach = (last - first + 1) * volume.spacing_mm[axis] + 2 * MARGIN_MM
    field = max(
        length * spacing
        for other, (length, spacing) in enumerate(zip(volume.shape, volume.spacing_mm, strict=True))
        if other != axis
    )
    return Frame(PLANES[axis], (centre[0], centre[1], centre[2]), field, float(np.clip(reach, *SLAB_MM)), SIDE)


def _fullest_range(volume: Volume, findings: Findings, axis: int) -> tuple[int, int]:
    """First and last index of the lesions that fit into one slab: as many as can, else about the most certain."""
    ranges = [(first, last - 1) for first, last in (lesion.bounding_box[axis] for lesion in findings.lesions)]
    room = (SLAB_MM[1] - 2 * MARGIN_MM) / volume.spacing_mm[axis]
    best = ranges[:1]
    for start, _ in ranges:
        held = [(first, last) for first, last in ranges if first >= start and last - start + 1 <= room]
        best = held if len(held) > len(best) else best
    return min(first for first, _ in best), max(last for _, last in best)


def _draw_marks(sheet: Sheet, volume: Volume, findings: Findings, frame: Frame, corner: tuple[int, int]) -> None:
    """On a copy of the panel, so that no mark leaves it; numbers for those that the table lists."""
    panel = sheet.part((*corner, corner[0] + SIDE, corner[1] + SIDE))
    rings = [_ring(volume, lesion, frame) for lesion in findings.lesions]
    circles: list[Box] = [(x - r, y - r, x + r, y + r) for x, y, r in rings]
    taken = _edges() + circles
    for x, y, radius in rings:
        _draw_ring(panel.draw, x, y, radius)
    for lesion, ring in list(zip(findings.lesions, rings, strict=True))[:ROWS]:
        label = _label(volume, lesion, frame)
        others = [circle for circle, other in zip(circles, rings, strict=True) if other != ring]
        found = _free_place(label, ring, taken, others)
        if found is not None:
            box, away = found
            taken.append(box)
            _write_number(panel, label, ring, box, leader=away > 0)
    _uncover(panel, volume, findings, frame)
    sheet.image.paste(panel.image, corner)


def _uncover(panel: Sheet, volume: Volume, findings: Findings, frame: Frame) -> None:
    """Put the lesions' own pixels back where the mark of a neighbour, a letter or the scale bar lies on them."""
    lesions = Image.fromarray(shadow(findings, volume, frame))
    panel.image.paste(Image.fromarray(project(volume, frame)).convert("RGB"), (0, 0), lesions)


def _draw_ring(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    for reach, width, colour in ((radius + 2, 5, BLACK), (radius + 1, 2, AMBER)):
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), outline=colour, width=width)


def _write_number(panel: Sheet, label: str, ring: Ring, box: Box, *, leader: bool) -> None:
    middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if leader:  # from the ring's edge to the number, where this does not stand beside it
        away = np.array(middle) - ring[:2]
        edge = np.array(ring[:2]) + away / np.linalg.norm(away) * (ring[2] + 1)
        panel.draw.line((*edge, *middle), fill=AMBER, width=1)
    panel.text(middle, label, colour=AMBER, anchor="mm", rim=3)


def _ring(volume: Volume, lesion: Lesion, frame: Frame) -> Ring:
    """A circle around the corners of the lesion's projected bounding box, and hence around all of it."""
    k, j, i = ((first + last - 1) / 2 for first, last in lesion.bounding_box)
    x, y = place(frame, volume, (k, j, i))
    sides = [
        (last - first) * spacing
        for axis, ((first, last), spacing) in enumerate(zip(lesion.bounding_box, volume.spacing_mm, strict=True))
        if axis != frame.plane.axis
    ]
    reach = float(np.hypot(sides[0], sides[1])) / 2 * frame.pixels / frame.field_mm
    return x, y, max(RING, reach + CLEARANCE)


def _label(volume: Volume, lesion: Lesion, frame: Frame) -> str:
    """The lesion's number; in brackets where its centre lies outside the slab."""
    shown = lesion.centre_index[frame.plane.axis] in slab_range(volume, frame)
    return str(lesion.number) if shown else f"({lesion.number})"


def _edges() -> list[Box]:
    """Where caption, letters and scale bar of a panel lie."""
    middle = SIDE / 2
    letters: list[Box] = [(middle - 12, 0, middle + 12, 34), (middle - 12, SIDE - 34, middle + 12, SIDE)]
    letters += [(0, middle - 14, 34, middle + 14), (SIDE - 34, middle - 14, SIDE, middle + 14)]
    return [(0, 0, SIDE * 0.45, 34), (0, SIDE - 44, SIDE * 0.35, SIDE), *letters]


def _free_place(label: str, ring: Ring, taken: list[Box], rings: list[Box]) -> tuple[Box, int] | None:
    """The nearest place around a ring where a number meets nothing else, and how far off; None where there is none.

    rings: the others', which the line to the number must not cross.
    """
    width, height = text_size(label, TEXT)
    width, height = width + 6, height + 10  # the rim, and what reaches below the line
    x, y, radius = ring
    for distance in STEPS:
        for turn in np.arange(8) * np.pi / 4:
            reach = radius + 3 + distance
            across, down = x + (reach + width / 2) * np.cos(turn), y - (reach + height / 2) * np.sin(turn)
            box = across - width / 2, down - height / 2, across + width / 2, down + height / 2
            if min(box) < 4 or max(box) > SIDE - 4 or any(_meet(box, other) for other in taken):
                continue
            between = min(x, across), min(y, down), max(x, across), max(y, down)
            if distance == 0 or not any(_meet(between, other) for other in rings):
                return box, distance
    return None


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _draw_table(sheet: Sheet, findings: Findings, images: list[str], left: int, top: int, pages: int) -> None:
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
            sheet.text((left + x, top + 30 * row), value, size=TEXT, colour=WHITE if x else AMBER)
    if len(findings.lesions) > ROWS:
        paged = "each on a page of its own" if len(findings.lesions) <= pages else f"pages up to number {pages}"
        more = f"and {len(findings.lesions) - ROWS} more, {paged}"
        sheet.text((left, top + 30 * (ROWS + 1)), more, size=SMALL, colour=GREY)
