"""The arterial tree: a circle of Willis with its usual variants and branches down to 0.4 mm."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.phantom.branching import grow_branches
from training.phantom.vessel import Vessel, smooth_vessel, with_loop

Array = NDArray[np.float64]

# Courses in head mm (x left, y posterior, z up; origin in the circle of Willis); `s` is the side, +1 left.
# After the usual proportions of anatomy textbooks; radii in mm at the proximal and distal end.
SIDED_COURSES: dict[str, tuple[list[tuple[float, float, float]], tuple[float, float]]] = {
    "ICA": (
        [
            (24, 18, -75),
            (23, 15, -45),
            (21, 11, -30),
            (15, 6, -24),
            (11, 6, -18),
            (11, -4, -15),
            (12, -11, -11),
            (12.5, -10, -6),
            (11.5, -5, -3),
            (10.5, -3, 2),
        ],
        (2.4, 1.9),
    ),
    "M1": ([(10.5, -3, 2), (16, -5, 4), (23, -6, 4.5), (29, -5, 5)], (1.55, 1.4)),
    "M2 superior": ([(29, -5, 5), (34, -4, 10), (38, 0, 18), (43, 2, 28)], (1.15, 0.8)),
    "M2 inferior": ([(29, -5, 5), (35, -1, 6), (39, 8, 9), (43, 18, 14), (47, 28, 20)], (1.15, 0.8)),
    "A1": ([(10.5, -3, 2), (7, -7, 4), (3.5, -10.5, 4.5), (1.7, -12, 5)], (1.15, 1.05)),
    "A2": (
        [(1.7, -12, 5), (1.5, -18, 9), (1.4, -26, 20), (1.4, -27, 34), (1.4, -16, 46), (1.4, 0, 50)],
        (1.1, 0.6),
    ),
    "P1": ([(0, 8, -3), (5, 8.5, -1.5), (10, 11, 0)], (1.15, 1.05)),
    "P2": ([(10, 11, 0), (16, 17, 1.5), (19, 26, 4), (17, 38, 8), (13, 52, 12), (10, 66, 16)], (1.05, 0.6)),
    "PComm": ([(11.2, -4.2, -2), (10.5, 1, -2.5), (10, 7, -1), (10, 11, 0)], (0.65, 0.6)),
    "anterior choroidal": ([(10.8, -3.4, 0.5), (13, 2, 0), (16, 9, 1), (19, 17, 4)], (0.5, 0.4)),
    "ophthalmic": (
        [(12.5, -10, -6), (13, -16, -7), (16, -26, -8), (21, -38, -7), (24, -50, -6)],
        (0.65, 0.45),
    ),
    "SCA": ([(0, 8.5, -6), (6, 10, -5.5), (14, 17, -4), (18, 27, -2), (12, 42, 0)], (0.7, 0.45)),
    "AICA": ([(0, 11, -22), (8, 14, -23), (18, 20, -25), (28, 30, -28)], (0.6, 0.4)),
    "VA": ([(22, 36, -75), (14, 30, -58), (7, 20, -46), (0, 13, -37)], (1.7, 1.5)),
    "PICA": ([(9, 23, -50), (14, 30, -50), (14, 38, -44), (8, 46, -42)], (0.65, 0.4)),
    "middle meningeal": ([(34, 5, -40), (40, -2, -24), (55, -4, -8), (62, 2, 10), (63, 12, 35)], (0.7, 0.4)),
    "superficial temporal": (
        [(64, 16, -45), (69, 10, -20), (73, 2, 5), (70, -8, 30), (62, -14, 50)],
        (0.9, 0.6),
    ),
}
BASILAR = ([(0.0, 13, -37), (0, 12, -27), (0, 10, -14), (0, 8, -3)], (1.75, 1.55))
BRANCHING = ("M2 superior", "M2 inferior", "A2", "P2", "SCA", "M1")

# (name, place, how often relative to the others, direction the sac prefers):
# frequencies after the usual clinical distribution of saccular aneurysms over the circle of Willis.
KNOWN_SITES: tuple[tuple[str, tuple[float, float, float], float, tuple[float, float, float]], ...] = (
    ("ICA-PComm", (11.2, -4.2, -2), 3.0, (0.5, 0.9, -0.3)),
    ("ICA ophthalmic", (12.5, -10, -6), 1.5, (-0.4, -0.5, 0.8)),
    ("ICA terminus", (10.5, -3, 2), 1.2, (0.0, 0.1, 1.0)),
    ("ICA cavernous", (11.3, -7, -13.5), 0.6, (0.8, -0.4, 0.1)),
    ("MCA bifurcation", (29, -5, 5), 3.0, (1.0, -0.2, 0.1)),
    ("AComm", (0, -12.3, 5), 3.0, (0.0, -0.8, 0.5)),
    ("pericallosal", (1.4, -26.5, 27), 0.7, (0.2, -1.0, 0.3)),
    ("basilar tip", (0, 8, -3), 1.2, (0.0, 0.1, 1.0)),
    ("SCA", (0, 8.5, -6), 0.5, (0.9, 0.1, 0.3)),
    ("VA-PICA", (9, 23, -50), 0.5, (0.6, 0.3, 0.6)),
)
MAXIMUM_KNOWN_SITE_GAP_MM = 4.0


@dataclass(frozen=True)
class Site:
    """Where a sac may sit: a point on a centreline, the way it would point, the parent's radius in mm."""

    name: str
    point: Array
    direction: Array
    radius: float
    weight: float


@dataclass
class ArterialTree:
    """All arteries with the sites that aneurysms prefer."""

    vessels: list[Vessel] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)


def grow_arteries(rng: np.random.Generator, hu: float) -> ArterialTree:
    """Draw one anatomy: displaced courses, calibres, hypoplastic and absent segments, loops, branches."""
    tree = ArterialTree()
    warp = _Warp(rng)
    for side in (1.0, -1.0):
        for name, (course, radii) in SIDED_COURSES.items():
            if not _absent(rng, name):
                _add(rng, tree, name, warp(course, side), _calibre(rng, name, radii), hu)
    _add(rng, tree, "basilar", warp(BASILAR[0], 1.0), _calibre(rng, "basilar", BASILAR[1]), hu)
    if rng.random() < 0.85:
        ends = [(1.7, -12, 5), (0, -12.4, 5.1), (-1.7, -12, 5)]
        _add(rng, tree, "AComm", warp(ends, 1.0), (0.8 * rng.uniform(0.6, 1.2),) * 2, hu)
    _add_infundibulum(rng, tree, warp, hu)
    tree.sites.extend(_known_sites(rng, tree, warp))
    for trunk in [v for v in tree.vessels if v.name in BRANCHING]:
        branches, forks = grow_branches(rng, trunk)
        tree.vessels.extend(branches)
        tree.sites.extend(Site("distal fork", *fork, weight=0.25) for fork in forks if fork[2] > 0.55)
    tree.sites.extend(_side_walls(rng, tree))
    return tree


class _Warp:
    """One patient's displacement of the textbook course: smooth in space, so that vessels still meet."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.waves = rng.normal(0, 1, (6, 3)) * 0.045
        self.shifts = rng.normal(0, 0.8, (6, 3))
        self.phases = rng.uniform(0, 2 * np.pi, 6)
        self.scale = rng.uniform(0.93, 1.08, 3)

    def __call__(self, course: Sequence[tuple[float, float, float]], side: float) -> Array:
        points = np.asarray(course, float) * [side, 1, 1] * self.scale
        angle = points @ self.waves.T + self.phases
        return points + np.sin(angle) @ self.shifts


def _absent(rng: np.random.Generator, name: str) -> bool:
    return bool(rng.random() < {"PComm": 0.25, "AICA": 0.2, "PICA": 0.2, "A1": 0.04}.get(name, 0.0))


def _calibre(rng: np.random.Generator, name: str, radii: tuple[float, float]) -> tuple[float, float]:
    factor = rng.uniform(0.85, 1.18)
    if name in ("PComm", "P1", "A1", "VA") and rng.random() < 0.2:
        factor *= rng.uniform(0.55, 0.8)
    if name == "PComm" and rng.random() < 0.2:
        factor *= 1.8
    return radii[0] * factor, radii[1] * factor


def _add(
    rng: np.random.Generator,
    tree: ArterialTree,
    name: str,
    control: Array,
    radii: tuple[float, float],
    hu: float,
) -> None:
    tortuosity = 0.35 if radii[0] > 0.9 and name not in BRANCHING else 0.8
    vessel = smooth_vessel(rng, name, control, radii, hu, tortuosity)
    if rng.random() < 0.08 and name not in ("AComm", "P1", "PComm"):
        vessel = with_loop(rng, vessel)
    tree.vessels.append(vessel)


def _add_infundibulum(rng: np.random.Generator, tree: ArterialTree, warp: _Warp, hu: float) -> None:
    """A funnel at the PComm's origin, up to 2 mm wide: normal, hence without a label."""
    for side in (1.0, -1.0):
        if rng.random() < 0.25:
            funnel = warp([(11.2, -4.2, -2), (11.0, -1.5, -2.6)], side)
            tree.vessels.append(Vessel("infundibulum", funnel, np.array([1.6, 0.6]), hu))


def _known_sites(rng: np.random.Generator, tree: ArterialTree, warp: _Warp) -> list[Site]:
    cloud = np.concatenate([vessel.points for vessel in tree.vessels])
    calibres = np.concatenate([vessel.radii for vessel in tree.vessels])
    sites = []
    for name, point, weight, direction in KNOWN_SITES:
        for side in (1.0, -1.0) if point[0] else (1.0,):
            wanted = warp([point], side)[0]
            gaps = np.linalg.norm(cloud - wanted, axis=1)
            nearest = int(np.argmin(gaps))
            if gaps[nearest] < MAXIMUM_KNOWN_SITE_GAP_MM:
                course = np.array(direction) * [side, 1, 1] + rng.normal(0, 0.35, 3)
                sites.append(
                    Site(
                        name,
                        cloud[nearest],
                        course / np.linalg.norm(course),
                        float(calibres[nearest]),
                        weight,
                    )
                )
    return sites


def _side_walls(rng: np.random.Generator, tree: ArterialTree) -> list[Site]:
    trunks = [v for v in tree.vessels if v.name in ("ICA", "M1", "A2", "basilar", "P2", "VA", "M2 superior")]
    sites = []
    for trunk in trunks:
        at = int(rng.integers(1, len(trunk.points) - 1))
        course = trunk.points[at + 1] - trunk.points[at - 1]
        course /= np.linalg.norm(course) + 1e-9
        outward = rng.normal(size=3)
        outward -= course * (outward @ course)
        outward /= np.linalg.norm(outward) + 1e-9
        sites.append(Site("side wall", trunk.points[at], outward, float(trunk.radii[at]), 0.25))
    return sites
