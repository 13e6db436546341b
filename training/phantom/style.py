"""What varies between phantoms beside their anatomy: over a wider range than reality, so that reality lies within."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.phantom.lower_head import LowerHead

Background = Literal["head", "world"]
Tree = Literal["willis", "wild", "traced"]

WORLD_SHARE = 0.3
"""Of phantoms without a head: sheets of bone, pockets of air and fat anywhere, so that a vessel is known by itself."""
WILD_SHARE = {"head": 0.3, "world": 0.75}
"""Of phantoms whose vessels are no circle of Willis."""


@dataclass(frozen=True, eq=False)
class Style:
    """One draw. HU, mm and shares as the names say; `stretch` is (3, 3), of head mm."""

    background: Background
    tree: Tree
    stretch: NDArray[np.float64]
    softness_mm: float
    arterial_hu: float
    venous_share: float
    distal_loss: float
    calibre: float
    sway_mm: float
    bone_factor: float
    brain_offset_hu: float
    texture_hu: float
    noise_hu: float
    noise_grain: float
    sharpening: float
    streak_hu: float
    thick_slices: bool
    extra_vessels: int
    plaques: int
    clips: int


def draw_style(
    rng: np.random.Generator, in_plane_mm: float, background: Background | None = None, tree: Tree | None = None
) -> Style:
    """Draws everything; a given background or tree is taken instead of the drawn one."""
    drawn: Background = "world" if rng.random() < WORLD_SHARE else "head"
    background = background or drawn
    wild = rng.random() < WILD_SHARE[background]
    return Style(
        background=background,
        tree=tree or ("wild" if wild else "willis"),
        stretch=_stretch(rng),
        softness_mm=0.5 * in_plane_mm + rng.uniform(0.1, 0.6),
        arterial_hu=rng.uniform(200, 600),
        venous_share=rng.uniform(0.15, 1.05),
        distal_loss=rng.uniform(0.0, 0.45),
        calibre=float(np.clip(np.exp(rng.normal(0.05, 0.2)), 0.7, 1.6)),
        sway_mm=rng.uniform(0, 3.0),
        bone_factor=rng.uniform(0.55, 1.5),
        brain_offset_hu=rng.uniform(-8, 12),
        texture_hu=rng.uniform(0, 12),
        noise_hu=float(np.exp(rng.uniform(np.log(4), np.log(24)))),
        noise_grain=rng.uniform(0, 0.9),
        sharpening=rng.uniform(0.2, 1.2) if rng.random() < 0.35 else 0.0,
        streak_hu=rng.uniform(0, 40) if rng.random() < 0.4 else 0.0,
        thick_slices=bool(rng.random() < 0.35),
        extra_vessels=int(rng.integers(0, 7)),
        plaques=int(rng.integers(0, 9)),
        clips=int(rng.integers(1, 4)) if rng.random() < 0.06 else 0,
    )


@dataclass(frozen=True, eq=False)
class Rarities:
    """What only some scans show: a neck, teeth with metal, a head that moved (mm)."""

    lower_head: LowerHead
    motion_mm: float


def draw_rarities(rng: np.random.Generator) -> Rarities:
    """Of heads, two in three go on below; of those, one in six has metal in its teeth. One in eight moved."""
    drawn = bool(rng.random() < 2 / 3)
    metal = int(rng.integers(1, 5)) if rng.random() < 1 / 6 else 0
    moved = bool(rng.random() < 1 / 8)
    return Rarities(LowerHead(drawn, metal), float(rng.uniform(0.2, 0.9)) if moved else 0.0)


def _stretch(rng: np.random.Generator) -> NDArray[np.float64]:
    """Slightly sheared and scaled, not alike along the axes."""
    return np.diag(rng.uniform(0.88, 1.14, 3)) @ (np.eye(3) + rng.normal(0, 0.025, (3, 3)))
