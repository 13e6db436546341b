"""The page of one lesion: three slab projections, the slice through its centre enlarged, and its measurements."""

from dicom_node.encoding.pages.panels import Panel, draw_panel
from dicom_node.encoding.pages.sheet import HEADER, PAGE, SMALL, Picture, new_sheet, write_footer
from dicom_node.encoding.pages.slab import AXIAL, PLANES, Frame, caption, outline
from glianet.findings import Findings, Lesion
from glianet.volume import Volume

SIDE, GAP = 408, 8
"""Pixels of a panel and between two of them."""
FIELD_MM, ZOOM_MM = 60.0, 20.0
SLAB_MM = 7.0
"""The paper shows 11-layer projections (page 8, Figure 5), 5 to 9 mm of its slices."""
ROOM = 2.0
"""Fields are at least so many times as wide as the lesion."""
BEYOND_MM = 1.5
"""Of a slab, before and behind the lesion: its parent vessel is to be seen."""


def draw_lesion_page(
    volume: Volume, findings: Findings, lesion: Lesion, where: str, image: str, footer: list[str]
) -> Picture:
    """(1024, 1024, 3) uint8 RGB. where: a sentence about its place; image: its centre's slice in the source."""
    sheet = new_sheet(f"Aneurysm candidate {lesion.number} of {len(findings.lesions)}")
    for panel in _panels(volume, lesion, image):
        draw_panel(sheet, volume, panel)
        sheet.tint(outline(findings, lesion, volume, panel.frame), panel.corner)
    top = sheet.paragraph(HEADER + 2 * SIDE + GAP + 12, measurements(lesion))
    sheet.paragraph(top + 2, where, size=SMALL)
    write_footer(sheet, footer)
    return sheet.pixels()


def measurements(lesion: Lesion) -> str:
    """The numbers of the report, in one line."""
    return (
        f"Diameter {lesion.maximum_diameter_mm:.1f} mm, volume {lesion.volume_mm3:.1f} mm3, mean score "
        f"{100 * lesion.mean_score:.0f} %, greatest {100 * lesion.maximum_score:.0f} %, regional risk "
        f"{100 * lesion.risk:.0f} %"
    )


def _panels(volume: Volume, lesion: Lesion, image: str) -> list[Panel]:
    left = (PAGE - 2 * SIDE - GAP) // 2
    corners = [(left + column * (SIDE + GAP), HEADER + row * (SIDE + GAP)) for row in (0, 1) for column in (0, 1)]
    field = max(FIELD_MM, ROOM * lesion.maximum_diameter_mm)
    zoom = max(ZOOM_MM, ROOM * lesion.maximum_diameter_mm)
    panels = []
    for plane, corner in zip(PLANES, corners, strict=False):
        first, last = lesion.bounding_box[plane.axis]
        slab = max(SLAB_MM, (last - first) * volume.spacing_mm[plane.axis] + 2 * BEYOND_MM)
        frame = Frame(plane, _middle(lesion), field, slab, SIDE)
        panels.append(Panel(frame, corner, caption(volume, frame)))
    centre = tuple(float(index) for index in lesion.centre_index)
    close = Frame(AXIAL, (centre[0], *_middle(lesion)[1:]), zoom, 0.0, SIDE)
    return [*panels, Panel(close, corners[3], f"axial, {image}")]


def _middle(lesion: Lesion) -> tuple[float, float, float]:
    k, j, i = ((first + last - 1) / 2 for first, last in lesion.bounding_box)
    return k, j, i

