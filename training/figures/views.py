"""The three planes in which a volume is shown, with slabs, letters and scale bars."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SLAB_VOXELS = 11
WINDOW_WIDTH_HU, WINDOW_LEVEL_HU = 600, 200
"""Both of the paper's Figure 5: 11-layer MIP, window 600 and level 200 HU."""

RESEARCH_NOTICE = "For research use only."


@dataclass(frozen=True)
class View:
    """A plane: the axis of (D, H, W) it is seen along, and the letters at its top, bottom, left and right."""

    name: str
    axis: int
    letters: tuple[str, str, str, str]

    def turned(self, picture: NDArray[Any]) -> NDArray[Any]:
        """The plane's two axes as shown: the head is up in coronal and sagittal views."""
        return picture[::-1] if self.axis else picture

    def point(self, index: tuple[float, float, float], shape: tuple[int, ...]) -> tuple[float, float]:
        """Column and row, as shown, of a voxel of a volume of this shape."""
        row, column = (index[axis] for axis in range(3) if axis != self.axis)
        return column, (shape[0] - 1 - row if self.axis else row)

    def aspect(self, spacing_mm: tuple[float, float, float]) -> float:
        """Height of a pixel by its width."""
        height, width = (spacing_mm[axis] for axis in range(3) if axis != self.axis)
        return height / width

    def slab(self, index: tuple[float, float, float], shape: tuple[int, ...], thick: int) -> tuple[slice, ...]:
        """The slab of so many voxels around an index, cut off at the volume's ends."""
        middle = round(index[self.axis])
        box = [slice(None)] * 3
        box[self.axis] = slice(max(0, middle - thick // 2), min(shape[self.axis], middle + thick // 2 + 1))
        return tuple(box)


AXIAL = View("axial", 0, ("A", "P", "R", "L"))
CORONAL = View("coronal", 1, ("S", "I", "R", "L"))
SAGITTAL = View("sagittal", 2, ("S", "I", "A", "P"))
"""Letters of the canonical order: slice to the head, row to the back, column to the left."""


def readable() -> dict[str, Any]:
    """White with a black rim: to be read on bone as on air."""
    from matplotlib.patheffects import withStroke

    return {"color": "white", "path_effects": [withStroke(linewidth=2.5, foreground="black")]}


def draw_mip(axes: "Axes", hu: NDArray[Any], view: View, box: tuple[slice, ...], spacing_mm: Any) -> None:
    """The highest HU of a slab, in the window of the paper."""
    low = WINDOW_LEVEL_HU - WINDOW_WIDTH_HU / 2
    picture = view.turned(hu[box].max(axis=view.axis))
    axes.imshow(picture, cmap="gray", aspect=view.aspect(spacing_mm), vmin=low, vmax=low + WINDOW_WIDTH_HU)
    axes.autoscale(False)
    axes.set_facecolor("black")
    axes.set_xticks([])
    axes.set_yticks([])


def draw_outline(
    axes: "Axes", mask: NDArray[np.bool_], view: View, box: tuple[slice, ...], style: dict[str, Any]
) -> None:
    """The outline of what a mask holds anywhere in the slab."""
    outline = view.turned(mask[box].max(axis=view.axis))
    if outline.any():
        axes.contour(np.pad(outline, 1), levels=[0.5], **style, extent=_padded(outline.shape))


def draw_letters(axes: "Axes", view: View) -> None:
    """Which way is which."""
    for letter, (x, y) in zip(view.letters, ((0.5, 0.96), (0.5, 0.04), (0.03, 0.5), (0.97, 0.5)), strict=True):
        axes.text(x, y, letter, fontsize=8, ha="center", va="center", transform=axes.transAxes, **readable())


def draw_scale_bar(axes: "Axes", view: View, spacing_mm: tuple[float, float, float], length_mm: float) -> None:
    """A bar in the lower left of what is shown."""
    pixels = length_mm / [spacing_mm[axis] for axis in range(3) if axis != view.axis][1]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x, y = left + 0.06 * (right - left), bottom + 0.07 * (top - bottom)
    for colour, width in (("black", 4.5), ("white", 2.5)):
        axes.plot([x, x + pixels], [y, y], color=colour, linewidth=width, solid_capstyle="butt")
    axes.text(x, y + 0.03 * (top - bottom), f"{length_mm:g} mm", fontsize=7, ha="left", va="bottom", **readable())


def _padded(shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Where `contour` has the samples of a picture with a margin of one pixel."""
    return -1, shape[1], -1, shape[0]
