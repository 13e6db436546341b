"""Reception while the node's own network computes, against reception while it rests.

    python -m tests.benchmarks.receive_while_analysing [--slices 400] [--size 512] [--repetitions 3] [--folder FOLDER]

The node runs as `dicom-node serve` does, with the shipped weights. One sender sends series after series, first while
the worker is halted, then while it analyses the first of them; that it did so from the first slice to the last of each
is checked. Everything else that the node does with what has come (assembly, audit log) goes on in both.
"""

import argparse
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dicom_node.store_file import StoreAnswer, store_file
from tests.support.faults_processes import planted_series
from tests.support.head_series import HeadSeries, scanner
from tests.support.node import NodeUnderTest, Tables

TARGET = 0.7  # of the throughput at rest
TABLES: Tables = {"selection": {"minimum_slices": 4, "contrast_minimum_volume_ml": 0.0}}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Throughput of reception while analysing, against idle.")
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="receive-", dir=arguments.folder) as name:
        folder, shape = Path(name), (arguments.slices, arguments.size, arguments.size)
        names = [f"series {number}" for number in range(2 * arguments.repetitions)]
        series = [planted_series(folder, name, shape) for name in names]
        with NodeUnderTest(folder / "node", tables=TABLES) as node:
            node.wait_until_ready("worker")
            measure(node, series[: arguments.repetitions], series[arguments.repetitions :])


def measure(node: NodeUnderTest, at_rest: Sequence[HeadSeries], beside: Sequence[HeadSeries]) -> None:
    """Print both throughputs, and their ratio."""
    with _halted(node.pids()["worker"]):
        resting = [_send(node, one) for one in at_rest]
    analysed = at_rest[0].uid
    node.wait_until_analysing(analysed, patches=1)
    working = []
    for one in beside:
        working.append(_send(node, one))
        if not _is_analysing(node.progress(), analysed):
            raise SystemExit("the analysis ended before the series had come; take larger series")
    for name, rates in (("at rest", resting), ("while analysing", working)):
        print(f"{name}: {', '.join(f'{rate:.0f}' for rate in rates)} MB/s, median {statistics.median(rates):.0f}")
    ratio = statistics.median(working) / statistics.median(resting)
    print(f"ratio of medians {ratio:.2f}, {'within' if ratio >= TARGET else 'below'} the {TARGET} wanted")


def _send(node: NodeUnderTest, series: HeadSeries) -> float:
    """Megabytes a second, from the request for the association to the last answer."""
    started, answers = time.perf_counter(), []
    with scanner(node.peer, series.files[:1]) as association:
        answers = [store_file(association, file, number) for number, file in enumerate(series.files)]
    seconds = time.perf_counter() - started
    _check(answers)
    return series.hu.nbytes / 1e6 / seconds


def _check(answers: Sequence[StoreAnswer]) -> None:
    refused = [one for one in answers if one.status != 0]
    if refused:
        raise SystemExit(f"{len(refused)} slices were refused: {refused[0].code}, {refused[0].meaning}")


def _is_analysing(progress: dict[str, Any], series_instance_uid: str) -> bool:
    return bool(progress) and progress["series"] == series_instance_uid and progress["patches"] < progress["of"]


@contextmanager
def _halted(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


if __name__ == "__main__":
    main()
