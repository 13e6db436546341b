"""The demo's neighbourhood: an archive process, the node under its production command, and a sender."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dicom_node.commands.status import collect_series
from dicom_node.delivery import echo
from dicom_node.destination_settings import DestinationSettings
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from storage.database import open_database
from storage.states import ENDED_STATES

START_TIMEOUT_S = 180.0  # a cold start compiles Python files and imports torch
RESULTS_TIMEOUT_S = 3600.0  # a series of the user's may be long
STOP_TIMEOUT_S = 60.0
QUIET_S = 2.0  # the demo's scanner has no pauses
POLL_S = 0.5
NODE_AE, ARCHIVE_AE, SCANNER_AE = "GLIANET", "DEMOARCHIVE", "DEMOSCANNER"

CONFIG = """# The settings of the demo's node; everything else is the default of config.toml.
[node]
ae_title = "{node_ae}"
[receiver]
port = {node_port}
calling_ae_titles = ["{scanner_ae}"]
minimum_free_gib = 0.5
[assembly]
quiet_s = {quiet_s}
poll_s = 0.2
[results]
report_refusals = "all"
[[destination]]
name = "archive"
ae_title = "{archive_ae}"
host = "127.0.0.1"
port = {archive_port}
profile = "archive"
[storage]
folder = "node"
[log]
level = "info"
"""


class DemoFailed(NodeError):
    """Something in the demo did not do what it should; says which log to read."""


class Neighbourhood:
    """Archive and node as child processes, stopped at the end whatever happens."""

    def __init__(self, output: Path, console: Console) -> None:
        self._run = output / f"run-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self._run.mkdir(parents=True)
        self._console = console
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._node_port, self._archive_port = _free_ports(2)
        self.archive_folder = self._run / "archive"
        self._config = self._run / "config.toml"

    def __enter__(self) -> "Neighbourhood":
        self._config.write_text(
            CONFIG.format(
                node_ae=NODE_AE,
                scanner_ae=SCANNER_AE,
                archive_ae=ARCHIVE_AE,
                node_port=self._node_port,
                archive_port=self._archive_port,
                quiet_s=QUIET_S,
            ),
            encoding="utf-8",
        )
        try:
            self._start_archive()
            self._start_node()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def send(self, series: Path) -> None:
        """Send the series with `dicom-node send`, as a process of its own."""
        command = _program("send", str(series), "--port", str(self._node_port))
        command += ["--called", NODE_AE, "--calling", SCANNER_AE]
        if subprocess.run(command, check=False).returncode:
            raise DemoFailed(
                "sending failed", where="dicom-node send", advice=f"see {self._run / 'node.log'}"
            )

    def wait_for_results(self) -> list[dict[str, Any]]:
        """Show progress until every series has ended; their rows as in `dicom-node status --json`."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        deadline = time.monotonic() + RESULTS_TIMEOUT_S
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task("waiting", total=None)
            while time.monotonic() < deadline:
                self._check_alive()
                status = self._status()
                _show(progress, task, status)
                series = status["series"]
                if series and all(row["state"] in ENDED_STATES for row in series):
                    return list(series)
                time.sleep(POLL_S)
        raise DemoFailed(
            f"no result within {RESULTS_TIMEOUT_S:.0f} s", where="node", advice=f"see {self._run}"
        )

    def verify_audit_log(self) -> None:
        """`dicom-node audit verify`, printed."""
        subprocess.run(_program("audit", "verify", "--config", str(self._config)), check=True)

    def _status(self) -> dict[str, Any]:
        folders = Folders(self._run / "node")
        db = open_database(folders.database)
        try:
            return collect_series(db, folders, limit=100)
        finally:
            db.close()

    def _start_archive(self) -> None:
        command = [sys.executable, "-m", "dicom_node.demo.archive", "--port", str(self._archive_port)]
        command += ["--ae-title", ARCHIVE_AE, "--folder", str(self.archive_folder)]
        self._start("archive", command)
        self._wait_until("archive", lambda: self._answers(ARCHIVE_AE, self._archive_port))
        self._console.print(f"archive {ARCHIVE_AE} listens on port {self._archive_port}")

    def _start_node(self) -> None:
        command = _program("serve", "--config", str(self._config))
        self._start("node", command)
        self._wait_until("node", lambda: self._answers(NODE_AE, self._node_port))
        self._console.print(
            f"node {NODE_AE} listens on port {self._node_port} (log: {self._run / 'node.log'})"
        )

    def _start(self, name: str, command: list[str]) -> None:
        with (self._run / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def _answers(self, ae_title: str, port: int) -> bool:
        peer = DestinationSettings(
            name="peer",
            ae_title=ae_title,
            host="127.0.0.1",
            port=port,
            connect_timeout_s=2.0,
            dimse_timeout_s=2.0,
        )
        return echo(peer, SCANNER_AE).ok

    def _wait_until(self, name: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not holds():
            self._check_alive()
            if time.monotonic() > deadline:
                raise DemoFailed("does not answer", where=name, advice=f"see {self._run / f'{name}.log'}")
            time.sleep(POLL_S)

    def _check_alive(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                tail = (self._run / f"{name}.log").read_text(errors="replace")[-2000:]
                raise DemoFailed(f"ended with status {process.returncode}\n{tail}", where=name)

    def _stop(self) -> None:
        for process in reversed(self._processes.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _program(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dicom_node.cli", *arguments]


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, each another one."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _show(progress: Progress, task: Any, status: dict[str, Any]) -> None:
    states = [row["doing"] for row in status["series"]] or ["waiting"]
    running = status["progress"]
    if running:
        progress.update(
            task, description="analysing patches", completed=running["patches"], total=running["of"]
        )
    else:
        progress.update(task, description=", ".join(sorted(set(states))))
