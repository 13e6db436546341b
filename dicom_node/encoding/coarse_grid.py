"""The grid of a map that is coarser than the source: some of the source's own voxels, about 4 mm apart."""

from dataclasses import dataclass

import highdicom as hd
import numpy as np
import numpy.typing as npt

SPACING_MM = 4.0
"""Windows of the risk map stand 15 voxels apart, 6 to 9 mm in a head CTA, and their edges cut the map into cells of at
least 6 voxels, 2.4 to 3.6 mm: finer voxels would show the same, and these make a map of 0.6 MB instead of 400."""


@dataclass(frozen=True, eq=False)
class CoarseGrid:
    """Every n-th voxel of a volume along each axis, as far from its first as from its last voxel.

    affine: (4, 4) of the volume, index (k, j, i, 1) to LPS mm. indices: of the volume's voxels along k, j and i.
    steps: voxels between two of them.
    """

    affine: npt.NDArray[np.float64]
    indices: tuple[range, range, range]
    steps: tuple[int, int, int]

    @property
    def measures(self) -> hd.PixelMeasuresSequence:
        """Pixel Measures (PS3.3 C.7.6.16.2.1) of slices along k, rows along j and columns along i."""
        between_slices, between_rows, between_columns = (
            np.linalg.norm(self.affine[:3, :3], axis=0) * self.steps
        ).tolist()
        return hd.PixelMeasuresSequence(
            pixel_spacing=(between_rows, between_columns),
            slice_thickness=between_slices,
            spacing_between_slices=between_slices,
        )

    @property
    def orientation(self) -> hd.PlaneOrientationSequence:
        """Plane Orientation: the column index grows along i, the row index along j."""
        along_rows, along_columns = (
            self.affine[:3, axis] / np.linalg.norm(self.affine[:3, axis]) for axis in (2, 1)
        )
        return hd.PlaneOrientationSequence(
            hd.CoordinateSystemNames.PATIENT, (*along_rows.tolist(), *along_columns.tolist())
        )

    @property
    def positions(self) -> list[hd.PlanePositionSequence]:
        """Plane Position of each slice: the centre of its first voxel, LPS mm."""
        _, rows, columns = self.indices
        firsts = np.array([(k, rows[0], columns[0], 1) for k in self.indices[0]]) @ self.affine.T
        return [
            hd.PlanePositionSequence(hd.CoordinateSystemNames.PATIENT, first[:3].tolist()) for first in firsts
        ]


def coarse_grid(shape: tuple[int, ...], affine: npt.NDArray[np.float64]) -> CoarseGrid:
    """Voxels about SPACING_MM apart of a volume (D, H, W); those at the ends lie at most half a step inside."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    steps = [max(1, round(SPACING_MM / size)) for size in spacing.tolist()]
    k, j, i = (_spread(length, step) for length, step in zip(shape, steps, strict=True))
    return CoarseGrid(affine, (k, j, i), (steps[0], steps[1], steps[2]))


def _spread(length: int, step: int) -> range:
    count = -(-length // step)
    first = (length - 1 - (count - 1) * step) // 2
    return range(first, first + count * step, step)
