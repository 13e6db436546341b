"""The demo's last page: what arrived, and planted aneurysms against findings."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from dicom_node.demo.archive_client import Candidate, ReceivedResults
from dicom_node.demo.planted import PlantedAneurysm
from storage.states import SeriesState

RADIUS_OF_UNIT_VOLUME = 0.62  # radius of a sphere of volume 1: (3 / 4 pi)^(1/3)


def print_arrivals(console: Console, archive: Path) -> None:
    """The files that the archive holds."""
    for file in sorted(archive.rglob("*.dcm")):
        console.print(f"arrived: {file} ({file.stat().st_size:,} bytes)", highlight=False, soft_wrap=True)


def print_verdict(console: Console, ended: list[dict[str, Any]], results: ReceivedResults) -> None:
    """One line for each series: analysed with so many candidates, or why not."""
    for row in ended:
        if row["state"] == SeriesState.DONE:
            count = row["lesion_count"]
            text = "1 aneurysm candidate" if count == 1 else f"{count} aneurysm candidates"
            console.print(f"series {row['series_instance_uid']}: {text}", highlight=False)
        else:
            reason = f"{row['reason_code']}: {row['reason_detail']}"
            line = f"series {row['series_instance_uid']}: {row['doing']}, {reason}"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    kinds = f"{len(results.segmentations)} SEG, {len(results.reports)} SR"
    console.print(f"{kinds} and {len(results.key_images)} key images in the archive")


def print_comparison(
    console: Console, planted: tuple[PlantedAneurysm, ...], results: ReceivedResults
) -> bool:
    """Each planted aneurysm with the candidate that marks it, then the rest; whether all were found."""
    table = Table(title="Planted aneurysms against findings", caption="maximum diameter and volume of each")
    for column in ("planted", "mm", "mm3", "found as", "mm", "mm3", "score", "off by mm"):
        table.add_column(column, justify="right")
    unmatched = list(results.candidates)
    missed = 0
    for aneurysm in planted:
        candidate = _match(aneurysm, unmatched)
        row = [str(aneurysm.number), f"{aneurysm.diameter_mm:.1f}", f"{aneurysm.volume_mm3:.0f}"]
        if candidate is None:
            missed += 1
            table.add_row(*row, "[red]missed[/]", "", "", "", "")
            continue
        unmatched.remove(candidate)
        table.add_row(*row, *_numbers(candidate), f"{_distance(aneurysm, candidate):.1f}")
    for candidate in unmatched:
        table.add_row("-", "", "", *_numbers(candidate), "[yellow]false[/]")
    console.print(table)
    return missed == 0


def _numbers(candidate: Candidate) -> tuple[str, str, str, str]:
    return (
        str(candidate.number),
        f"{candidate.maximum_diameter_mm:.1f}",
        f"{candidate.volume_mm3:.0f}",
        f"{candidate.mean_score_percent:.0f}%",
    )


def _match(aneurysm: PlantedAneurysm, candidates: list[Candidate]) -> Candidate | None:
    """The nearest candidate closer than the sum of the two equivalent radii (the paper's target-wise rule)."""
    near = [one for one in candidates if _distance(aneurysm, one) < _reach(aneurysm, one)]
    return min(near, key=lambda one: _distance(aneurysm, one), default=None)


def _reach(aneurysm: PlantedAneurysm, candidate: Candidate) -> float:
    return float(RADIUS_OF_UNIT_VOLUME * (np.cbrt(aneurysm.volume_mm3) + np.cbrt(candidate.volume_mm3)))


def _distance(aneurysm: PlantedAneurysm, candidate: Candidate) -> float:
    return float(np.linalg.norm(np.subtract(aneurysm.centre_lps_mm, candidate.centre_lps_mm)))
