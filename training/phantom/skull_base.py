"""The floor of the cranial cavity as a height over the horizontal plane, and the thickness of its bone."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Slice = NDArray[np.float32]
Map = Callable[[Slice, Slice], Slice]

EXTENT_MM = 110.0
CELL_MM = 1.0


def base_height(rng: np.random.Generator) -> Map:
    """z (mm) of the floor at head (x, y): three fossae, sella, clivus, petrous ridges."""
    x, y = _plane()
    x, y = x * rng.uniform(0.95, 1.06), y + rng.uniform(-1.5, 1.5)
    anterior = 1.0 + 5 * _bell(np.abs(x), 28, 12) * _bell(y, -42, 22) - 5 * _bell(x, 0, 6)
    middle = -21.0 + 0.006 * (np.abs(x) - 32) ** 2 * 0.3
    posterior = -48.0 + 0.004 * x**2
    front = _step(-12 - 0.12 * np.abs(x) - y, 2.5)
    back = _step(y - 14 - 0.55 * np.abs(x), 3.0)
    floor = front * anterior + (1 - front) * ((1 - back) * middle + back * posterior)
    floor += 11 * (1 - front) * _bell(y - 14 - 0.55 * np.abs(x), 0, 4.5) * _bell(np.abs(x), 32, 22)
    centre = _step(13 - np.abs(x), 1.8)
    sella = np.where(y < 5, -10 - 5 * _bell(y, -3, 5) + 6 * _bell(y, -11, 3), -9 - np.maximum(y - 5, 0) * 2.1)
    sella = np.where(y < -12, anterior, np.maximum(sella, -48))
    return _lookup((1 - centre) * floor + centre * sella)


def base_thickness(rng: np.random.Generator) -> Map:
    """Thickness (mm) of the bone under the floor: thin over the orbits, thick in petrous bone and clivus."""
    x, y = _plane()
    thickness = 3.2 + 14 * _bell(y - 14 - 0.55 * np.abs(x), 0, 8) * _bell(np.abs(x), 38, 20)
    thickness += 9 * _bell(x, 0, 10) * _bell(y, 10, 10) + 7 * _bell(np.abs(x), 50, 10) * _bell(y, 35, 12)
    return _lookup(thickness * rng.uniform(0.85, 1.2))


def _plane() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    line = np.arange(-EXTENT_MM, EXTENT_MM + CELL_MM, CELL_MM)
    return line[None, :], line[:, None]


def _lookup(table: NDArray[np.float64]) -> Map:
    cells = np.ascontiguousarray(np.broadcast_to(table, (int(2 * EXTENT_MM / CELL_MM) + 1,) * 2), np.float32)

    def at(x: Slice, y: Slice) -> Slice:
        limit = len(cells) - 1
        column = np.clip((x + EXTENT_MM) / CELL_MM + 0.5, 0, limit).astype(np.int32)
        row = np.clip((y + EXTENT_MM) / CELL_MM + 0.5, 0, limit).astype(np.int32)
        return cells[row, column]

    return at


def _bell(value: NDArray[np.float64], centre: float, width: float) -> NDArray[np.float64]:
    return np.exp(-(((value - centre) / width) ** 2))


def _step(value: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(np.clip(-value / width, -40, 40)))
