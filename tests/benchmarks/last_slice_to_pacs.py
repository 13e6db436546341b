"""From the last slice received to SEG and SR in the PACS, timed; the network and the quiet time are left out.

    python -m tests.benchmarks.last_slice_to_pacs [--slices 400] [--repetitions 3] [--poll-s 0.25]

The node runs as users run it: receiver, router and worker as processes, a spool that is fsynced, the settings of
config.toml. Only the network is stood in for (`node_without_network`), and the time of its stand-in is taken off. The
series tells how many instances it has, so that no quiet time passes. The archive is another process, which stores what
it is sent. Times are those of the audit log; that of the last slice is the series' own.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from dicom_node.delivery import echo
from dicom_node.send import RemoteNode
from storage.states import SeriesState
from tests.benchmarks.node_without_network import PLANTED_HU, STOOD_IN
from tests.support.head_series import HeadSeries, make_head_series, send
from tests.support.node import ENDED, START_WITHIN_S, NodeUnderTest
from tests.support.ports import free_port
from tests.support.waiting import wait_until

BOUND_S = 5.0
DEADLINE_S = 600.0  # of a series on a machine that has other things to do
SIZE = 512
SPACING_MM = (0.5, 0.45, 0.45)
AIR_HU, BRAIN_HU, VESSEL_HU = -1000, 40, 250
VESSEL_RADIUS_MM, LESION_RADII_MM = 2.5, (2.0, 3.0, 4.0)
ARCHIVE = "ARCHIVE"
TOTAL, NETWORK = "total without the network", "(stand-in for the network, left out)"


class NodeWithoutNetwork(NodeUnderTest):
    """`node_without_network` in place of `dicom-node serve`."""

    def serve_command(self) -> list[str]:
        return [sys.executable, "-m", "tests.benchmarks.node_without_network", "--config", str(self.config)]

    def stand_in_seconds(self) -> list[float]:
        """Of each analysis, in order."""
        return [float(line["seconds"]) for line in self._log() if line.get("event") == STOOD_IN]

    def processor_seconds(self) -> dict[str, float]:
        """What receiver, router and worker have used so far (proc(5): utime and stime, in ticks)."""
        ticks = os.sysconf("SC_CLK_TCK")
        stats = {name: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2] for name, pid in self.pids().items()}
        return {name: sum(map(int, text.split()[11:13])) / ticks for name, text in stats.items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time a series from its last slice to its results in the archive.")
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--poll-s", type=float, default=0.25, help="assembly.poll_s; 0.25 is the default of the node")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="to-pacs-", dir=arguments.folder) as name:
        folder = Path(name)
        with _running_archive(folder / "archive") as destination:
            tables: dict[str, dict[str, Any]] = {
                "assembly": {"poll_s": arguments.poll_s},
                "selection": {"contrast_minimum_volume_ml": 0.3},
            }
            with NodeWithoutNetwork(folder / "site", [destination], tables) as node:
                node.wait_until_ready("worker")
                runs = [_time_one(node, folder, arguments.slices, number) for number in range(arguments.repetitions)]
        stored = len(list((folder / "archive").rglob("*.dcm")))
    if stored != 2 * arguments.repetitions:
        raise SystemExit(f"{stored} objects are in the archive, not a SEG and an SR of each series")
    _print(runs, arguments.slices, arguments.poll_s)


def _time_one(node: NodeWithoutNetwork, folder: Path, slices: int, number: int) -> dict[str, float]:
    """Send one more series and wait until it is done; seconds of each stage."""
    series = _write_series(folder, slices, f"series {number}")
    os.sync()  # so that the node does not pay for what this program wrote
    before = node.processor_seconds()
    send(node.peer, series.files)
    node.wait_until(lambda: node.state(series.uid) in ENDED, DEADLINE_S, "the series ends", interval_s=0.2)
    row, used = node.wait_until_ended(series.uid), node.processor_seconds()
    if row.state != SeriesState.DONE:
        raise SystemExit(f"the series ended as {row.state}: {row.reason_code} {row.reason_detail}\n{node.log_tail()}")
    at: dict[str, datetime] = {}
    for entry in node.audit(series_instance_uid=series.uid):
        at.setdefault(entry.event, entry.at)
    (analysed,) = node.audit("series-analysed", series.uid)
    stand_in, analysis = node.stand_in_seconds()[-1], float(analysed.detail["seconds"])
    stages = {
        "registered, and seen by assembly": _between(row.last_received_at, at["series-complete"]),
        "headers read and inspected": _between(at["series-complete"], at["series-accepted"]),
        "seen by the worker": _between(at["series-accepted"], at["series-analysed"]) - analysis,
        "read, contrast, lesions, findings": analysis - stand_in,
        "seen by publishing, encoded, checked": _between(at["series-analysed"], at["results-published"]),
        "seen by delivery, SEG and SR stored": _between(at["results-published"], at["delivered"]),
    }
    total = _between(row.last_received_at, at["delivered"]) - stand_in
    processor = {f"processor's seconds, {name}": used[name] - before[name] for name in used}
    return {**stages, TOTAL: total, NETWORK: stand_in, **processor}


def _write_series(folder: Path, slices: int, name: str) -> HeadSeries:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = SPACING_MM
    affine[:3, 3], affine[3, 3] = (-115.0, -115.0, 0.0), 1.0
    return make_head_series(folder, name, hu=_head((slices, SIZE, SIZE)), affine=affine)


def _head(shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """(D, H, W) int16 HU: brain in air, a vessel along it, and spheres of PLANTED_HU beside that."""
    rows, columns = np.ogrid[-shape[1] // 2 : shape[1] // 2, -shape[2] // 2 : shape[2] // 2]
    outline = (rows / (0.42 * shape[1])) ** 2 + (columns / (0.34 * shape[2])) ** 2 <= 1
    vessel = rows**2 + (columns - shape[2] // 8) ** 2 <= (VESSEL_RADIUS_MM / SPACING_MM[1]) ** 2
    plane = np.where(vessel, VESSEL_HU, np.where(outline, BRAIN_HU, AIR_HU)).astype(np.int16)
    hu = np.repeat(plane[np.newaxis], shape[0], axis=0)
    for place, radius in enumerate(LESION_RADII_MM, start=1):
        centre = np.array([shape[0] * place // (len(LESION_RADII_MM) + 1), shape[1] // 2, shape[2] // 2])
        reach = [int(np.ceil(radius / spacing)) for spacing in SPACING_MM]
        box = tuple(slice(middle - size, middle + size + 1) for middle, size in zip(centre, reach, strict=True))
        grid = np.ogrid[tuple(slice(-size, size + 1) for size in reach)]
        distance = sum((axis * spacing) ** 2 for axis, spacing in zip(grid, SPACING_MM, strict=True))
        hu[box][np.asarray(distance) <= radius**2] = PLANTED_HU
    return hu


@contextmanager
def _running_archive(folder: Path) -> Iterator[dict[str, object]]:
    """A storage SCP in a process of its own, and it as a [[destination]] of SEG and SR."""
    port = free_port()
    command = [sys.executable, "-m", "dicom_node.demo.archive", "--port", str(port), "--ae-title", ARCHIVE]
    process = subprocess.Popen([*command, "--folder", str(folder)], stdout=subprocess.DEVNULL)
    try:
        peer = RemoteNode(ARCHIVE, "127.0.0.1", port)
        wait_until(lambda: echo(peer, "TESTER").ok, START_WITHIN_S, "the archive answers a C-ECHO")
        yield {"name": "archive", "ae_title": ARCHIVE, "host": "127.0.0.1", "port": port}
    finally:
        process.terminate()
        process.wait()


def _between(earlier: datetime, later: datetime) -> float:
    return (later - earlier).total_seconds()


def _print(runs: list[dict[str, float]], slices: int, poll_s: float) -> None:
    numbers = (f"run {number} (s)" for number in range(1, len(runs) + 1))
    table = Table("from the last slice to the PACS", *numbers, "median")
    for stage in runs[0]:
        seconds = [run[stage] for run in runs]
        table.add_row(stage, *(f"{one:.2f}" for one in seconds), f"{statistics.median(seconds):.2f}")
    Console(width=120).print(table)
    median, worst = statistics.median(run[TOTAL] for run in runs), max(run[TOTAL] for run in runs)
    verdict = "within" if worst <= BOUND_S else "above"
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{slices} slices of {SIZE} x {SIZE}, assembly.poll_s {poll_s:g}, {os.cpu_count()} cores, load {load}")
    print(f"median {median:.2f} s, worst {worst:.2f} s: {verdict} the bound of {BOUND_S:g} s")


if __name__ == "__main__":
    main()
