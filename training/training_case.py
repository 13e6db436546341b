"""A volume that patches are drawn from, with the places that they are drawn around."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from glianet.global_volume import resample_global
from glianet.tiling import pad_to_patch
from glianet.windows import to_channels
from training.phantom import Phantom

Points = NDArray[np.int64]
Voxel = tuple[int, int, int]

CANDIDATES = 4000
"""Voxels remembered of each kind that a negative patch may be centred on."""
BRIGHT_HU = (160, 500)
"""Of contrast; bone is above."""
PLACES_STREAM = 2
"""Part of the seed of the random places, beside the case's own."""

_NEIGHBOURS = np.ones((3, 3, 3), bool)


@dataclass(eq=False)
class TrainingCase:
    """hu: (D, H, W) int16; labels: (D, H, W) uint8, the aneurysm's number or 0.

    centres: of the aneurysms, (N, 3) index (k, j, i). arteries, bright, bone: (N, 3) indices that negative patches may
    be centred on, empty where unknown. mistakes: where the network called something an aneurysm that is none.
    """

    name: str
    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    centres: Points
    arteries: Points
    bright: Points
    bone: Points
    mistakes: list[Voxel] = field(default_factory=list)
    _whole: Tensor | None = None
    _voxels: Points | None = None

    @property
    def whole(self) -> Tensor:
        """(1, 3, 96, 96, 96) float32, the global image through the HU windows; made when it is first asked for."""
        if self._whole is None:
            self._whole = to_channels(torch.from_numpy(resample_global(pad_to_patch(self.hu)[0])[None])).contiguous()
        return self._whole

    @property
    def voxels(self) -> Points:
        """(N,) voxels of each aneurysm, in the order of the centres; counted when first asked for."""
        if self._voxels is None:
            self._voxels = np.bincount(self.labels.ravel(), minlength=len(self.centres) + 1)[1:]
        return self._voxels


def case_from_arrays(
    name: str, hu: NDArray[np.int16], mask: NDArray[np.bool_], seed: int, arteries: Points | None = None
) -> TrainingCase:
    """A case of HU (D, H, W) and the mask (D, H, W) of its aneurysms, each 26-connected component one.

    Raises ValueError where the two differ in shape or there are more than 255 aneurysms.
    """
    if hu.shape != mask.shape:
        raise ValueError(f"{name}: the image has shape {hu.shape}, the label {mask.shape}")
    labels, count = ndimage.label(mask, _NEIGHBOURS)
    if count > np.iinfo(np.uint8).max:
        raise ValueError(f"{name}: its label has {count} separate aneurysms")
    rng = np.random.default_rng([seed, PLACES_STREAM])
    strided = hu[::2, ::2, ::2]
    lowest, highest = BRIGHT_HU
    return TrainingCase(
        name=name,
        hu=np.ascontiguousarray(hu),
        labels=labels.astype(np.uint8),
        centres=_centres(labels, count),
        arteries=_some(rng, np.zeros((0, 3), np.int64) if arteries is None else arteries),
        bright=_some(rng, np.argwhere((strided > lowest) & (strided < highest)) * 2),
        bone=_some(rng, np.argwhere(strided >= highest) * 2),
    )


def case_from_phantom(phantom: Phantom) -> TrainingCase:
    """A case of a phantom; its sacs keep their numbers, also where two touch."""
    arteries = np.rint(phantom.arteries).astype(np.int64)
    case = case_from_arrays(f"phantom {phantom.seed}", phantom.hu, phantom.labels > 0, phantom.seed, arteries)
    case.labels = phantom.labels
    case.centres = _centres(phantom.labels, int(phantom.labels.max()))
    return case


def _centres(labels: NDArray[np.integer], count: int) -> Points:
    centres = ndimage.center_of_mass(labels > 0, labels, range(1, count + 1)) if count else []
    return np.rint(np.array(centres).reshape(-1, 3)).astype(np.int64)


def _some(rng: np.random.Generator, points: Points) -> Points:
    return points[rng.choice(len(points), min(CANDIDATES, len(points)), replace=False)]
