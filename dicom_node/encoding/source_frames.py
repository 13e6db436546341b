"""Where the source's images lie, read from their headers: what the self-check holds results against."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset


@dataclass(frozen=True)
class SourceFrame:
    """A single-frame image, or a frame: LPS mm, row and column direction (2, 3), rows and columns."""

    key: tuple[str, int | None]
    position: npt.NDArray[np.float64]
    directions: npt.NDArray[np.float64]
    spacing: npt.NDArray[np.float64]
    matrix: tuple[int, int]


def source_frames(images: Sequence[Dataset]) -> Iterator[SourceFrame]:
    """Each image of a classic series, or each frame of a multi-frame one (PS3.3 C.7.6.2, C.7.6.16.2)."""
    for image in images:
        frames = image.get("PerFrameFunctionalGroupsSequence")
        if not frames:
            yield _frame(image, None, image, image, image)
            continue
        shared = image.SharedFunctionalGroupsSequence[0]
        for number, groups in enumerate(frames, start=1):
            items = [
                (groups.get(name) or shared[name].value)[0]
                for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
            ]
            yield _frame(image, number, *items)


def _frame(
    image: Dataset, number: int | None, position: Dataset, orientation: Dataset, measures: Dataset
) -> SourceFrame:
    return SourceFrame(
        key=(str(image.SOPInstanceUID), number),
        position=np.array(position.ImagePositionPatient, dtype=np.float64),
        directions=np.array(orientation.ImageOrientationPatient, dtype=np.float64).reshape(2, 3),
        spacing=np.array(measures.PixelSpacing, dtype=np.float64),
        matrix=(int(image.Rows), int(image.Columns)),
    )
