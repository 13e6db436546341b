"""What a scanner makes of an object: motion, kernel, slice thickness, beam hardening, streaks of metal and noise."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.phantom.style import Style

Image = NDArray[np.float32]

SHARPENING_MM = 1.2
"""Width of the average that an edge-enhancing kernel subtracts."""
BONE_HU = 500.0
STREAK_ROWS_MM = 6.0
METAL_REACH_MM = 4.0
"""Along the slices: half of what a piece of metal disturbs."""
METAL_HU, METAL_FADES_MM = 420.0, 22.0
METAL_RAYS = (5, 23)


def scan(rng: np.random.Generator, hu: Image, spacing_mm: tuple[float, float, float], style: Style) -> None:
    """Changes (D, H, W) HU of an object into those of an image of it, in place."""
    if style.streak_hu:
        _harden(hu, spacing_mm, style.streak_hu)
    if style.sharpening:
        _sharpen(hu, spacing_mm, style.sharpening)
    if style.thick_slices:
        hu[:-1] = 0.5 * (hu[:-1] + hu[1:])
    _add_noise(rng, hu, style.noise_hu, style.noise_grain)


def move(rng: np.random.Generator, hu: Image, spacing_mm: tuple[float, float, float], amplitude_mm: float) -> None:
    """The head moved while some of the slices were taken: they hold both places, half and half. In place."""
    if not amplitude_mm:
        return
    first = int(rng.integers(0, len(hu)))
    last = first + max(int(rng.uniform(8, 30) / spacing_mm[0]), 1)
    angle = rng.uniform(0, 2 * np.pi)
    shift = amplitude_mm * np.array([np.sin(angle), np.cos(angle)]) / spacing_mm[1:]
    for plane in hu[first:last]:
        plane += 0.5 * (ndimage.shift(plane, shift, order=1, mode="nearest") - plane)


def add_metal_streaks(
    rng: np.random.Generator, hu: Image, spacing_mm: tuple[float, float, float], spots: Sequence[NDArray[np.float64]]
) -> None:
    """Dark and bright rays in the plane from each spot, array mm (z, y, x), in place."""
    rows = (np.arange(hu.shape[1]) * spacing_mm[1]).astype(np.float32)[:, None]
    columns = (np.arange(hu.shape[2]) * spacing_mm[2]).astype(np.float32)[None, :]
    for spot in spots:
        y, x = rows - np.float32(spot[1]), columns - np.float32(spot[2])
        angle = np.arctan2(y, x)
        rays = sum(np.cos(int(n) * angle + rng.uniform(0, 6.3)) for n in rng.integers(*METAL_RAYS, 5))
        pattern = METAL_HU / 2 * rays / (1 + np.hypot(y, x) / METAL_FADES_MM) ** 2
        for k in range(len(hu)):
            away = (k * spacing_mm[0] - spot[0]) / METAL_REACH_MM
            if abs(away) < 2:
                hu[k] += np.float32(np.exp(-(away**2))) * pattern.astype(np.float32)


def _harden(hu: Image, spacing_mm: tuple[float, float, float], depth_hu: float) -> None:
    """Dark bands along rows that cross much bone, brighter ones beside them, as between the petrous bones."""
    bone = (hu > BONE_HU).mean(axis=2)
    wide = ndimage.gaussian_filter(bone, (1, STREAK_ROWS_MM / spacing_mm[1]))
    excess = (bone - wide) / max(float(bone.std()), 1e-3)
    soft = ndimage.gaussian_filter1d(excess, 1.0, axis=1).clip(-2, 2)
    for plane, rows in zip(hu, soft, strict=True):
        inside = plane > -300
        plane -= np.where(inside, np.float32(depth_hu / 2) * rows[:, None].astype(np.float32), 0)


def _sharpen(hu: Image, spacing_mm: tuple[float, float, float], amount: float) -> None:
    """Edges overshoot, as by the kernels that bone is read with."""
    width = [max(round(SHARPENING_MM / spacing), 2) for spacing in spacing_mm[1:]]
    for plane in hu:
        plane += np.float32(amount) * (plane - ndimage.uniform_filter(plane, width))


def _add_noise(rng: np.random.Generator, hu: Image, sigma_hu: float, grain: float) -> None:
    """grain: from 0, white, to 0.9, over about three voxels in the plane."""
    norm = float(np.sqrt(1 + grain**2)) ** 2 * float(np.sqrt(1 + (grain / 2) ** 2))
    before = rng.standard_normal(hu.shape[1:], np.float32)
    for plane in hu:
        noise = rng.standard_normal(plane.shape, np.float32)
        mixed = noise + np.float32(grain / 2) * before
        before = noise
        for axis in (0, 1):
            mixed = mixed + np.float32(grain) * np.roll(mixed, 1, axis=axis)
        plane += np.float32(sigma_hu / norm) * mixed
