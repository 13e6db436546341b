"""A node as real processes, each with a saboteur in it; the network is stood in for."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.node_without_network import PLANTED_HU
from tests.support.head_series import HeadSeries, make_head_series
from tests.support.node import Destination, NodeUnderTest, Tables

SHAPE = (64, 16, 16)
STOP_WITHIN_S = 3.0  # in place of the 30 s that a node in service gives its processes


class SabotagedNode(NodeUnderTest):
    """`faults_serve` in place of `dicom-node serve`. plan: patterns of points, and "kill" or "hang"."""

    def __init__(
        self,
        folder: Path,
        plan: dict[str, str],
        destinations: Sequence[Destination] = (),
        tables: Tables | None = None,
    ) -> None:
        selection: dict[str, Any] = {"minimum_slices": 4, "contrast_minimum_volume_ml": 0.0}
        super().__init__(folder, destinations, {"selection": selection, **(tables or {})})
        self.points = folder / "points.json"
        self.points.write_text(json.dumps(plan))

    def serve_command(self) -> list[str]:
        command = [sys.executable, "-m", "tests.support.faults_serve", "--config", str(self.config)]
        return [*command, "--points", str(self.points), "--stop-within-s", str(STOP_WITHIN_S)]

    def struck(self) -> list[str]:
        """The patterns that were met with."""
        struck = self.points.with_name(f"{self.points.name}.struck")
        return struck.read_text().splitlines() if struck.exists() else []


def planted_series(folder: Path, name: str, shape: tuple[int, int, int] = SHAPE) -> HeadSeries:
    """A small series in which the stand-in for the network finds one lesion."""
    hu = np.random.default_rng(len(name)).integers(0, 200, shape).astype(np.int16)
    hu[:, :4] = -1000  # air
    middle = shape[0] // 2
    hu[middle : middle + 2, 8:11, 8:11] = PLANTED_HU
    return make_head_series(folder, name, hu=hu)
