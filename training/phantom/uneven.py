"""How drawn anatomy is made less even: calibre that wavers and steps along a vessel, surroundings that are a blur.

Tracers see a vessel as straight pieces of one calibre each, and an average of many heads has no sharp edge. Drawn
phantoms get some of either, so that what is learnt does not rest on even tubes and sharp bone.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from training.phantom.arteries import ArterialTree
from training.phantom.vessel import Vessel

Field = NDArray[np.float32]

BLURRED_SHARE, BLUR_MM = 0.4, (0.8, 4.0)
"""Of phantoms, and the standard deviation that their surroundings are blurred by."""
WAVERING_SHARE, MOST_WAVER, WAVER_POINTS = 0.6, 0.22, (0.5, 3.0)
"""Of phantoms; standard deviation of the logarithm of a radius along its vessel; points over which it changes."""
MOST_STEP = 0.15
"""Standard deviation of the logarithm of a whole vessel's radius, so that calibre steps where vessels meet."""
ANGULAR_SHARE, LONGEST_PIECE = 0.3, 4
"""Of phantoms whose vessels are pieces of straight tubes; points of the course that one piece takes."""
LEAST_SPREAD = 0.3
"""Standard deviation of the noise that is taken for its spread at least: a vessel of few points does not waver most."""
LEAST_FACTOR, GREATEST_FACTOR = 0.6, 1.6
"""Beyond these, a wider place would be an aneurysm itself."""


@dataclass(frozen=True)
class Unevenness:
    """One draw. blur_mm: standard deviation; waver, step: of log radii; piece: points of a straight piece, or 1."""

    blur_mm: float
    waver: float
    waver_points: float
    step: float
    piece: int


def draw_unevenness(rng: np.random.Generator) -> Unevenness:
    """Some phantoms have all of it, many none."""
    wavering, blurred = rng.random() < WAVERING_SHARE, rng.random() < BLURRED_SHARE
    return Unevenness(
        blur_mm=rng.uniform(*BLUR_MM) if blurred else 0.0,
        waver=rng.uniform(0, MOST_WAVER) if wavering else 0.0,
        waver_points=rng.uniform(*WAVER_POINTS),
        step=rng.uniform(0, MOST_STEP) if wavering else 0.0,
        piece=int(rng.integers(2, LONGEST_PIECE + 1)) if rng.random() < ANGULAR_SHARE else 1,
    )


def blur(hu: Field, spacing_mm: tuple[float, float, float], width_mm: float) -> None:
    """Blurs (D, H, W) HU in place by a Gaussian of this standard deviation; 0 leaves it as it is."""
    if width_mm:
        ndimage.gaussian_filter(hu, [width_mm / spacing for spacing in spacing_mm], output=hu, truncate=3.0)


def with_uneven_vessels(rng: np.random.Generator, tree: ArterialTree, drawn: Unevenness) -> ArterialTree:
    """The same tree whose vessels waver in calibre; their ends, where they meet, and the sites stay."""
    return ArterialTree([_uneven(rng, vessel, drawn) for vessel in tree.vessels], tree.sites)


def _uneven(rng: np.random.Generator, vessel: Vessel, drawn: Unevenness) -> Vessel:
    kept = _corners(len(vessel.points), drawn.piece)
    points, radii = vessel.points[kept], vessel.radii[kept]
    noise = ndimage.gaussian_filter1d(rng.normal(size=len(radii)), drawn.waver_points, mode="nearest")
    noise = noise / max(float(noise.std()), LEAST_SPREAD)
    factor = np.exp(drawn.waver * noise + drawn.step * rng.normal())
    return replace(vessel, points=points, radii=radii * np.clip(factor, LEAST_FACTOR, GREATEST_FACTOR))


def _corners(count: int, piece: int) -> NDArray[np.intp]:
    """Every `piece`-th point and the last."""
    return np.unique(np.append(np.arange(0, count, piece), count - 1))
