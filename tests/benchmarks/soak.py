"""Hours of traffic in minutes: what is lost (nothing), how memory goes, and how fast the node answers.

    python -m tests.benchmarks.soak [--associations 20] [--slices 400] [--size 512] [--burst 50] [--folder FOLDER]

The node runs as processes, the network stood in for. First one sender alone, for its throughput; then another while as
many programs as there are cores compute, as the network would; then all associations at once, each with a series of its
own, some slow, some that break off and send again; then a burst of small series, in which the worker has much to do.
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

import numpy as np

from dicom_node.association import AssociationFailed
from dicom_node.store_file import store_file
from dicom_node.worker import NICENESS
from storage.outbox import deliveries
from storage.series import get_series, instance_paths, list_series
from storage.states import DeliveryState, SeriesState
from tests.support.archive import running_archive
from tests.support.dicom_network import data_set_of
from tests.support.faults_processes import SabotagedNode, planted_series
from tests.support.head_series import HeadSeries, scanner

KIB, MIB = 1024, 1024**2
SLOW_S = 0.02  # between two slices of a slow sender
DEADLINE_S = 1800.0
ASK_AGAIN_S = 0.5  # after a rejected association, as scanners do


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
) -> None:
    """The whole of it, with figures on standard output. Raises AssertionError where anything is lost."""
    alone, beside = (
        planted_series(folder, "alone", shape),
        planted_series(folder, "beside the network", shape),
    )
    many = [planted_series(folder, f"series {number}", shape) for number in range(associations)]
    small = [planted_series(folder, f"burst {number}", (8, 16, 16)) for number in range(burst)]
    tables = {"receiver": {"maximum_associations": places}} if places else {}
    with (
        running_archive() as archive,
        SabotagedNode(folder / "node", {}, [archive.destination], tables) as node,
    ):
        node.wait_until_worker_ready()
        with Memory(node) as memory:
            first, busy = Traffic(), Traffic()
            idle_s = _timed(lambda traffic: traffic.send(node, alone), first)
            with _computing():
                beside_s = _timed(lambda traffic: traffic.send(node, beside), Traffic())
            busy_s = _timed(lambda traffic: _send_all(node, many, traffic), busy)
            burst_s = _timed(lambda traffic: _send_all(node, small, traffic), Traffic())
            everything = [alone, beside, *many, *small]
            started = time.perf_counter()
            for series in everything:
                while node.state(series.uid) not in (SeriesState.DONE, SeriesState.FAILED):
                    if time.perf_counter() - started > DEADLINE_S:
                        raise SystemExit(f"{series.uid} does not end\n{node.log_tail()}")
                    threading.Event().wait(0.1)
        _check_nothing_lost(node, everything)
        archive.check_copies_agree()
        assert len(archive.copies) == _objects_delivered(node, everything), f"{len(archive.copies)} in the archive"
        node.check_intact()
    megabytes = np.prod(shape) * 2 / 1e6
    rates = {
        "one sender": megabytes / idle_s,
        "one beside a network": megabytes / beside_s,
        f"{associations} senders": associations * megabytes / busy_s,
    }
    print(
        f"nothing lost: {len(everything)} series, {sum(len(one.files) for one in everything)} instances, all DONE"
    )
    print(
        f"throughput: {', '.join(f'{name} {rate:.0f} MB/s' for name, rate in rates.items())}; burst {burst_s:.1f} s"
    )
    for name, traffic in {"one sender": first, f"{associations} senders": busy}.items():
        if len(traffic.answers) > 1:
            cuts = statistics.quantiles(traffic.answers, n=100)
            print(
                f"C-STORE, {name}: median {cuts[49] * 1e3:.0f} ms, 99th percentile {cuts[98] * 1e3:.0f} ms; "
                f"{traffic.rejected} associations rejected for the moment"
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


def _timed(work, traffic: Traffic) -> float:  # type: ignore[no-untyped-def]
    started = time.perf_counter()
    work(traffic)
    return time.perf_counter() - started


def _send_all(node: SabotagedNode, many: Sequence[HeadSeries], traffic: Traffic) -> None:
    """All at once; every fifth is slow, every seventh breaks off in the middle and begins again."""
    with ThreadPoolExecutor(max(1, min(len(many), 20))) as senders:
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


def _objects_delivered(node: SabotagedNode, everything: Sequence[HeadSeries]) -> int:
    """SEG and SR of each series; of one that fell silent for longer than quiet_s, of each revision that was sent."""
    revisions = [
        one
        for series in everything
        for one in deliveries(node.database, get_series(node.database, series.uid).id)
        if one.state == DeliveryState.DELIVERED
    ]
    assert len(revisions) >= len(everything)
    return sum(len(one.objects) for one in revisions)


def _check_nothing_lost(node: SabotagedNode, everything: Sequence[HeadSeries]) -> None:
    rows = {row.series_instance_uid: row for row in list_series(node.database)}
    for series in everything:
        row = rows[series.uid]
        assert (row.state, row.instance_count) == (SeriesState.DONE, len(series.files)), row
        kept = {
            data_set_of(node.storage / "spool" / one.path) for one in instance_paths(node.database, row.id)
        }
        assert kept == set(map(data_set_of, series.files)), f"{series.uid} is not what was sent"


if __name__ == "__main__":
    main()
