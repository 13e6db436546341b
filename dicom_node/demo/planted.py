"""What the phantom holds: the truth that findings are compared with."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PlantedAneurysm:
    """One aneurysm of the phantom: centre in LPS mm, diameter in mm, volume in mm3."""

    number: int
    centre_lps_mm: tuple[float, float, float]
    diameter_mm: float
    volume_mm3: float


def read_planted(truth_file: Path) -> tuple[PlantedAneurysm, ...]:
    """The aneurysms in a truth.json of `glianet-training phantoms`."""
    rows = json.loads(truth_file.read_text(encoding="utf-8"))["aneurysms"]
    return tuple(
        PlantedAneurysm(row["number"], tuple(row["centre_lps_mm"]), row["diameter_mm"], row["volume_mm3"])
        for row in rows
    )
