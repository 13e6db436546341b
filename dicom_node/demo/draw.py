"""A picture of each lesion: axial, coronal and sagittal MIP with the outline, as radiologists look at a CTA."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from dicom_node.demo.archive_client import Candidate, ReceivedResults
from dicom_node.demo.run_node import DemoFailed
from dicom_node.read_series import read_folder
from glianet.volume import Volume

SLAB_VOXELS = 11  # the paper shows 11-layer MIPs (page 8, Figure 5)
WINDOW_WIDTH_HU, WINDOW_LEVEL_HU = 600, 200  # the same figure
FIELD_MM = 60.0  # side of the square around the lesion
SCALE_BAR_MM = 10.0
OUTLINE = "#ffb000"
READABLE: dict[str, Any] = {"color": "white", "path_effects": [withStroke(linewidth=2.5, foreground="black")]}
"""White with a black rim: to be read on bone as on air."""


@dataclass(frozen=True)
class View:
    """A plane: the axis it is seen along, and the letters at its top, bottom, left and right."""

    name: str
    axis: int
    letters: tuple[str, str, str, str]


VIEWS = (
    View("axial", 0, ("A", "P", "R", "L")),
    View("coronal", 1, ("S", "I", "R", "L")),
    View("sagittal", 2, ("S", "I", "A", "P")),
)


def draw_lesions(series: Path, results: ReceivedResults, folder: Path) -> list[Path]:
    """One PNG for each candidate in the archive, drawn on the series that was sent."""
    if not results.candidates:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    volume = read_folder(series)
    return [
        _draw(volume, candidate, folder / f"candidate-{candidate.number}.png")
        for candidate in results.candidates
    ]


def _draw(volume: Volume, candidate: Candidate, file: Path) -> Path:
    mask = _mask(volume, candidate)
    centre = tuple(int(round(float(value))) for value in np.argwhere(mask).mean(axis=0))
    figure = Figure(figsize=(12, 4.6), facecolor="black", layout="constrained")
    for axes, view in zip(figure.subplots(1, 3), VIEWS, strict=True):
        _draw_view(axes, volume, mask, centre, view)
    x, y, z = candidate.centre_lps_mm
    figure.suptitle(
        f"{candidate.label}: {candidate.maximum_diameter_mm:.1f} mm, {candidate.volume_mm3:.0f} mm³, "
        f"mean score {candidate.mean_score_percent:.0f}%, centre ({x:.1f}, {y:.1f}, {z:.1f}) mm LPS\n"
        f"MIP of {SLAB_VOXELS} voxels, window {WINDOW_WIDTH_HU}/{WINDOW_LEVEL_HU} HU. For research use only.",
        color="white",
        fontsize=11,
    )
    figure.savefig(file, dpi=110, facecolor="black")
    return file


def _draw_view(axes: Axes, volume: Volume, mask: np.ndarray, centre: tuple[int, ...], view: View) -> None:
    box = _box(volume, centre, view.axis)
    picture, outline = volume.hu[box].max(axis=view.axis), mask[box].max(axis=view.axis)
    rows_mm, columns_mm = np.delete(volume.spacing_mm, view.axis)
    if view.axis:  # coronal and sagittal: the head up
        picture, outline = picture[::-1], outline[::-1]
    low = WINDOW_LEVEL_HU - WINDOW_WIDTH_HU / 2
    axes.imshow(picture, cmap="gray", vmin=low, vmax=low + WINDOW_WIDTH_HU, aspect=rows_mm / columns_mm)
    axes.contour(outline, levels=[0.5], colors=OUTLINE, linewidths=1.2)
    axes.set_title(view.name, color="white", fontsize=10)
    axes.set_axis_off()
    places = ((0.5, 0.97), (0.5, 0.03), (0.03, 0.5), (0.97, 0.5))
    for letter, (x, y) in zip(view.letters, places, strict=True):
        place = axes.transAxes
        axes.text(x, y, letter, fontsize=9, ha="center", va="center", transform=place, **READABLE)
    _draw_scale_bar(axes, picture.shape, float(columns_mm))


def _draw_scale_bar(axes: Axes, shape: tuple[int, ...], columns_mm: float) -> None:
    length = SCALE_BAR_MM / columns_mm
    x, y = shape[1] * 0.06, shape[0] * 0.93
    axes.plot([x, x + length], [y, y], color="white", linewidth=2, path_effects=READABLE["path_effects"])
    text = f"{SCALE_BAR_MM:.0f} mm"
    axes.text(x + length / 2, y - shape[0] * 0.02, text, fontsize=8, ha="center", va="bottom", **READABLE)


def _box(volume: Volume, centre: tuple[int, ...], axis: int) -> tuple[slice, ...]:
    """A slab of SLAB_VOXELS along `axis`, and FIELD_MM along the other two, cut off at the volume's ends."""
    halves = [int(FIELD_MM / 2 / spacing) for spacing in volume.spacing_mm]
    halves[axis] = SLAB_VOXELS // 2
    return tuple(
        slice(max(0, middle - half), min(length, middle + half + 1))
        for middle, half, length in zip(centre, halves, volume.shape, strict=True)
    )


def _mask(volume: Volume, candidate: Candidate) -> np.ndarray:
    """The candidate's voxels on the volume's grid, by their positions in space: (D, H, W) bool."""
    inverse = np.linalg.inv(volume.affine)
    points = np.c_[candidate.points_lps_mm, np.ones(len(candidate.points_lps_mm))]
    indices = np.rint((points @ inverse.T)[:, :3]).astype(int)
    if (indices < 0).any() or (indices >= volume.shape).any():
        raise DemoFailed(f"{candidate.label} lies outside the series", where="SEG in the archive")
    mask = np.zeros(volume.shape, dtype=bool)
    mask[tuple(indices.T)] = True
    return mask
