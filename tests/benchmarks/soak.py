"""Hours of traffic in minutes: what is lost (nothing), how memory goes, and how fast the node answers.

    python -m tests.benchmarks.soak [--associations 20] [--slices 400] [--size 512] [--burst 50] [--folder FOLDER]

The node runs as processes, the network stood in for. First one sender alone, for its throughput; then another while as
many programs as there are cores compute, as the network would; then all associations at once, each with a series of its
own, some slow, some that break off and send again; then a burst of small series, in which the worker has much to do.
At the end the archive holds one set of results of each series; one that was re-opened because it fell silent for
longer than assembly.quiet_s is named, with what was sent of it before.
Memory is the resident set of each process; answers are those of C-STORE.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.association import AssociationFailed
from dicom_node.store_file import store_file
from dicom_node.worker import NICENESS
from storage.series import list_series
from storage.states import SeriesState
from tests.benchmarks.soak_checks import check_nothing_lost, check_results
from tests.support.archive import running_archive
from tests.support.faults_processes import SabotagedNode, planted_series
from tests.support.head_series import HeadSeries, scanner

KIB, MIB = 1024, 1024**2
SLOW_S = 0.02  # between two slices of a slow sender
DEADLINE_S = 1800.0
ASK_AGAIN_S = 0.5  # after a rejected association, as scanners do
MOST_SENDERS = 20
BURST = "burst"


@dataclass
class Traffic:
    """What the senders met with. answers: seconds of each C-STORE."""

    answers: list[float] = field(default_factory=list)
    rejected: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(
        self, node: SabotagedNode, series: HeadSeries, *, slow: bool = False, break_off_at: int = 0
    ) -> None:
        """Until every instance is confirmed; one that breaks off sends the whole series again."""
        if break_off_at:
            self._once(node, series, series.files[:break_off_at], slow, abort=True)
        while not self._once(node, series, series.files, slow, abort=False):
            threading.Event().wait(ASK_AGAIN_S)

    def _once(
        self, node: SabotagedNode, series: HeadSeries, files: Sequence[Path], slow: bool, abort: bool
    ) -> bool:
        stored = 0
        try:
            with scanner(node.peer, series.files[:1]) as association:
                for number, file in enumerate(files):
                    started = time.perf_counter()
                    stored += store_file(association, file, number).status == 0
                    with self.lock:
                        self.answers.append(time.perf_counter() - started)
                    if slow:
                        threading.Event().wait(SLOW_S)
                if abort:
                    association.abort()
        except AssociationFailed:
            with self.lock:
                self.rejected += 1
        return stored == len(files)


@dataclass(frozen=True)
class Load:
    """The series that are sent: by one sender, by one beside a network, by many at once, and in a burst."""

    alone: HeadSeries
    beside: HeadSeries
    many: list[HeadSeries]
    small: list[HeadSeries]

    @property
    def everything(self) -> list[HeadSeries]:
        return [self.alone, self.beside, *self.many, *self.small]


@dataclass(frozen=True)
class Phase:
    """Some series that were sent at once: their voxels, the time until all was confirmed, what the senders met with."""

    megabytes: float
    seconds: float
    traffic: Traffic


class Memory:
    """The resident set of each of the node's processes, looked at once a second while the block runs."""

    def __init__(self, node: SabotagedNode) -> None:
        self._pids = node.pids()
        self._over = threading.Event()
        self.seen: dict[str, list[int]] = {name: [] for name in self._pids}
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(1.0):
            for name, pid in self._pids.items():
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                self.seen[name].append(pages * os.sysconf("SC_PAGE_SIZE") // MIB)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Load on a node, and what came of it.")
    parser.add_argument("--associations", type=int, default=20)
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--burst", type=int, default=50)
    parser.add_argument(
        "--places", type=int, default=0, help="receiver.maximum_associations (default: the setting's)"
    )
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-", dir=arguments.folder) as name:
        shape = (arguments.slices, arguments.size, arguments.size)
        run_soak(Path(name), arguments.associations, shape, arguments.burst, arguments.places)


def run_soak(
    folder: Path, associations: int, shape: tuple[int, int, int], burst: int, places: int = 0
) -> list[str]:
    """The whole of it, with figures on standard output; the series that were re-opened, each in a sentence.

    Raises AssertionError where anything is lost, or the archive holds other than it must.
    """
    load = _make_load(folder, associations, shape, burst)
    tables = {"receiver": {"maximum_associations": places}} if places else {}
    with (
        running_archive() as archive,
        SabotagedNode(folder / "node", {}, [archive.destination], tables) as node,
    ):
        node.wait_until_ready("worker")
        with Memory(node) as memory:
            phases = _send_everything(node, load)
            _wait_until_ended(node, load.everything)
        check_nothing_lost(node, load.everything)
        reopened = check_results(node, archive, load.everything)
        archive.check_copies_agree()
        node.check_intact()
    _print_outcome(load.everything, reopened)
    _print_figures(phases, memory)
    return reopened


def _make_load(folder: Path, associations: int, shape: tuple[int, int, int], burst: int) -> Load:
    return Load(
        planted_series(folder, "alone", shape),
        planted_series(folder, "beside the network", shape),
        [planted_series(folder, f"series {number}", shape) for number in range(associations)],
        [planted_series(folder, f"burst {number}", (8, 16, 16)) for number in range(burst)],
    )


def _send_everything(node: SabotagedNode, load: Load) -> dict[str, Phase]:
    phases = {"one sender": _send_all(node, [load.alone])}
    with _computing():
        phases["one beside a network"] = _send_all(node, [load.beside])
    phases[f"{len(load.many)} senders"] = _send_all(node, load.many)
    phases[BURST] = _send_all(node, load.small)
    return phases


def _wait_until_ended(node: SabotagedNode, everything: Sequence[HeadSeries]) -> None:
    def ended() -> bool:
        states = [row.state for row in list_series(node.database)]
        return len(states) == len(everything) and {*states} <= {SeriesState.DONE, SeriesState.FAILED}

    node.wait_until(ended, DEADLINE_S, "every series ends", interval_s=0.1)


def _print_outcome(everything: Sequence[HeadSeries], reopened: Sequence[str]) -> None:
    instances = sum(len(one.files) for one in everything)
    print(f"nothing lost: {len(everything)} series, {instances} instances, all DONE")
    print(f"re-opened after a silence: {len(reopened)} series")
    for sentence in reopened:
        print(f"  {sentence}")


def _print_figures(phases: dict[str, Phase], memory: Memory) -> None:
    large = {name: phase for name, phase in phases.items() if name != BURST}
    rates = ", ".join(f"{name} {phase.megabytes / phase.seconds:.0f} MB/s" for name, phase in large.items())
    print(f"throughput: {rates}; burst {phases[BURST].seconds:.1f} s")
    for name, phase in large.items():
        if len(phase.traffic.answers) > 1:
            cuts = statistics.quantiles(phase.traffic.answers, n=100)
            print(
                f"C-STORE, {name}: median {cuts[49] * 1e3:.0f} ms, 99th percentile {cuts[98] * 1e3:.0f} ms; "
                f"{phase.traffic.rejected} associations rejected for the moment"
            )
    for name, seen in memory.seen.items():
        third = max(1, len(seen) // 3)
        print(f"memory of {name}: first third {max(seen[:third])} MiB, last third {max(seen[-third:])} MiB")


@contextmanager
def _computing() -> Iterator[None]:
    """Every core has something to do, at the priority of the worker, as while the network runs."""
    code = f"import os; os.nice({NICENESS})\nwhile True: pass"
    programs = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def _send_all(node: SabotagedNode, many: Sequence[HeadSeries]) -> Phase:
    """All at once; every fifth is slow, every seventh breaks off in the middle and begins again."""
    traffic, started = Traffic(), time.perf_counter()
    with ThreadPoolExecutor(max(1, min(len(many), MOST_SENDERS))) as senders:
        sent = [
            senders.submit(
                traffic.send,
                node,
                series,
                slow=number % 5 == 4,
                break_off_at=len(series.files) // 2 if number % 7 == 6 else 0,
            )
            for number, series in enumerate(many)
        ]
        for one in sent:
            one.result()
    return Phase(sum(one.hu.nbytes for one in many) / 1e6, time.perf_counter() - started, traffic)


if __name__ == "__main__":
    main()
