"""A picture on a page with what a radiologist expects around it: plane, letters, scale."""

from dataclasses import dataclass

from dicom_node.encoding.pages.sheet import SMALL, TEXT, WHITE, Sheet
from dicom_node.encoding.pages.slab import Frame, project
from glianet.volume import Volume

EDGE = 14
"""Pixels from a panel's edge to the letters and the scale bar."""
SCALE_SHARE = 0.3
"""Of a panel's width, at most, that the scale bar takes."""
SCALES_MM = (1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Panel:
    """A square picture and where its upper left pixel lies on the page."""

    frame: Frame
    corner: tuple[int, int]
    caption: str


def draw_panel(sheet: Sheet, volume: Volume, panel: Panel) -> None:
    """Draws the picture, its caption, its orientation letters and a scale bar; its middle stays free."""
    sheet.paste(project(volume, panel.frame), panel.corner)
    left, top = panel.corner
    side, middle = panel.frame.pixels, panel.frame.pixels / 2
    sheet.text((left + EDGE, top + EDGE), panel.caption, size=SMALL, rim=2)
    above, below, at_left, at_right = panel.frame.plane.letters
    for letter, x, y, anchor in (
        (above, middle, EDGE, "mt"),
        (below, middle, side - EDGE, "mb"),
        (at_left, EDGE, middle, "lm"),
        (at_right, side - EDGE, middle, "rm"),
    ):
        sheet.text((left + x, top + y), letter, size=TEXT, anchor=anchor, rim=2)
    _draw_scale(sheet, panel)
    sheet.draw.rectangle((left, top, left + side - 1, top + side - 1), outline=(70, 70, 70))


def _draw_scale(sheet: Sheet, panel: Panel) -> None:
    per_mm = panel.frame.pixels / panel.frame.field_mm
    length = max(mm for mm in SCALES_MM if mm == SCALES_MM[0] or mm * per_mm <= SCALE_SHARE * panel.frame.pixels)
    x, y = panel.corner[0] + EDGE, panel.corner[1] + panel.frame.pixels - EDGE
    end = x + length * per_mm
    sheet.draw.line((x - 1, y, end + 1, y), fill=(0, 0, 0), width=6)
    sheet.draw.line((x, y, end, y), fill=WHITE, width=3)
    sheet.text((x, y - 6), f"{length} mm", size=SMALL, colour=WHITE, anchor="ls", rim=2)
