"""`dicom-node serve` without the network, and with a saboteur in each of its processes.

    python -m tests.support.faults_serve --config config.toml --points points.json [--stop-within-s 3]

The file has patterns of points (tests.support.faults_points) and what happens at the first point that fits: "kill", or
"hang" with Python's lock held, as a driver may. Each happens once in the life of the node; `points.json.struck` tells
of which it did.
"""

import argparse
import ctypes
import json
import os
import signal
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from dicom_node import daemon
from dicom_node.daemon import PROCESSES, serve
from dicom_node.settings import Settings, load_settings
from tests.benchmarks.node_without_network import run_worker_without_network
from tests.support.faults_points import watch_points

Run = Callable[[Settings, Connection], None]


def sabotaged(run: Run, points: Path, settings: Settings, commands: Connection) -> None:
    """One of the node's processes, in which each pattern of the file is met with once."""
    plan: dict[str, str] = json.loads(points.read_text())

    def strike(point: str) -> None:
        for pattern, how in plan.items():
            if fnmatchcase(point, pattern) and _note_first(
                points.with_name(f"{points.name}.struck"), pattern
            ):
                if how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                ctypes.PyDLL(None).pause()

    watch_points(lambda point: strike(f"before {point}"), lambda point: strike(f"after {point}"))
    run(settings, commands)


def _note_first(struck: Path, pattern: str) -> bool:
    with struck.open("a+") as file:
        file.seek(0)
        if pattern in file.read().splitlines():
            return False
        file.write(f"{pattern}\n")
        return True


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="The node, and what ends its processes.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--points", type=Path, required=True)
    parser.add_argument("--stop-within-s", type=float, default=daemon.STOP_WITHIN_S)
    arguments = parser.parse_args()
    daemon.STOP_WITHIN_S = arguments.stop_within_s
    PROCESSES["worker"] = run_worker_without_network
    for name, run in list(PROCESSES.items()):
        PROCESSES[name] = partial(sabotaged, run, arguments.points)
    serve(load_settings(arguments.config))


if __name__ == "__main__":
    main()
