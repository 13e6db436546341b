"""The node as users run it: `dicom-node serve` as a process, with its settings, its log and its database."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dicom_node.delivery import echo
from dicom_node.send import RemoteNode
from storage.audit import AuditEntry, entries, verify
from storage.database import Database, open_database
from storage.series import SeriesRow, get_series, list_series
from storage.states import SeriesState
from tests.support.ports import free_port
from tests.support.waiting import wait_until

AE_TITLE = "GLIANET"
START_WITHIN_S = 90.0  # a cold start compiles Python files and imports torch
STOP_WITHIN_S = 60.0  # the supervisor gives its children 30 s; a healthy node needs a patch and a moment
END_WITHIN_S = 90.0  # from the last slice to the end of a small series, on a loaded machine
QUIET_S = 30.0  # never reached: series here tell how many instances they have
CONTRAST_ML = 0.1  # a small head holds less contrast than a real one
LOG_TAIL_LINES = 40
ENDED = (SeriesState.DONE, SeriesState.NOT_ANALYSED, SeriesState.FAILED)

Tables = dict[str, dict[str, Any]]
Destination = dict[str, Any]


class NodeUnderTest:
    """A node in a folder of its own; `tables` changes the settings that all tests share."""

    def __init__(
        self, folder: Path, destinations: Sequence[Destination] = (), tables: Tables | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.config = folder / "config.toml"
        self.log_file = folder / "node.log"
        self.storage = folder / "node"
        self._process: subprocess.Popen[bytes] | None = None
        self._database: Database | None = None
        self.configure(destinations, tables)

    def configure(self, destinations: Sequence[Destination] = (), tables: Tables | None = None) -> None:
        """Write config.toml; a running node keeps the settings it started with."""
        settings = _merge(_common_tables(self.port), tables or {})
        self.config.write_text(_as_toml(settings, destinations), encoding="utf-8")

    def __enter__(self) -> "NodeUnderTest":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start `dicom-node serve` and wait until it answers a C-ECHO."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(self.serve_command(), stdout=log, stderr=subprocess.STDOUT)
        self.wait_until(self._answers, START_WITHIN_S, "the node answers a C-ECHO")

    def serve_command(self) -> list[str]:
        """What is started."""
        return [sys.executable, "-m", "dicom_node.cli", "serve", "--config", str(self.config)]

    def wait_until_ready(self, child: str) -> None:
        """The worker has loaded the weights; the receiver listens on its TLS port too, the second that it opens."""
        self.wait_until(lambda: self._is_ready(child), START_WITHIN_S, f"the {child} is ready")

    def stop(self) -> None:
        """SIGTERM; the node ends cleanly, in time, and leaves no process behind."""
        process, pids = self._running(), self.pids()
        process.send_signal(signal.SIGTERM)
        status = process.wait(STOP_WITHIN_S)
        self._process = None
        assert status == 0, f"exit status {status}\n{self.log_tail()}"
        assert not [pid for pid in pids.values() if _is_alive(pid)], f"{pids} outlived the node"

    def kill(self) -> None:
        """kill -9 of the supervisor; its children notice and end by themselves."""
        process, pids = self._running(), self.pids()
        process.kill()
        process.wait()
        self._process = None
        self.wait_until(lambda: not any(map(_is_alive, pids.values())), STOP_WITHIN_S, f"{pids} end")

    def kill_process(self, name: str) -> int:
        """kill -9 of receiver, router or worker; its process id."""
        pid = self.pids()[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_until_restarted(self, name: str, old_pid: int) -> None:
        """A new process of that name is ready for work."""
        self.wait_until(
            lambda: self.pids()[name] != old_pid and self._is_ready(name),
            START_WITHIN_S,
            f"{name} starts again",
        )

    def close(self) -> None:
        """End whatever still runs; for the end of a test, whatever happened in it."""
        if self._process is not None:
            pids = self.pids()
            self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for pid in filter(_is_alive, pids.values()):
                os.kill(pid, signal.SIGKILL)
            self._process = None
        if self._database is not None:
            self._database.close()
            self._database = None

    @property
    def peer(self) -> RemoteNode:
        return RemoteNode(AE_TITLE, "127.0.0.1", self.port, connect_timeout_s=2.0, dimse_timeout_s=30.0)

    @property
    def database(self) -> Database:
        """The node's own database, opened beside it."""
        if self._database is None:
            self._database = open_database(self.storage / "node.sqlite3")
        return self._database

    def series(self, series_instance_uid: str) -> SeriesRow | None:
        """The series as it stands now; None before its first row."""
        known = {row.series_instance_uid for row in list_series(self.database)}
        return get_series(self.database, series_instance_uid) if series_instance_uid in known else None

    def state(self, series_instance_uid: str) -> SeriesState | None:
        row = self.series(series_instance_uid)
        return None if row is None else row.state

    def wait_for_state(self, series_instance_uid: str, *states: SeriesState, revision: int = 1) -> SeriesRow:
        """The series, once it is in one of `states` at this revision or a later one."""

        def there() -> SeriesRow | None:
            row = self.series(series_instance_uid)
            return row if row is not None and row.state in states and row.revision >= revision else None

        row = self.wait_until(there, END_WITHIN_S, f"{series_instance_uid} is {' or '.join(states)}")
        assert row is not None
        return row

    def wait_until_ended(self, series_instance_uid: str, *, revision: int = 1) -> SeriesRow:
        """The series, once it is done, not analysed or failed."""
        return self.wait_for_state(series_instance_uid, *ENDED, revision=revision)

    def wait_until_claimed(self, series_instance_uid: str, state: SeriesState) -> None:
        """Some process holds the lease on the series in this state: it is in the middle of that work."""

        def claimed() -> bool:
            row = self.series(series_instance_uid)
            return row is not None and row.state == state and row.lease_owner is not None

        self.wait_until(
            claimed, END_WITHIN_S, f"{series_instance_uid} is claimed as {state}", interval_s=0.002
        )

    def wait_until_analysing(self, series_instance_uid: str, patches: int = 0) -> None:
        """The worker is in the middle of the series: so many patches are computed and more are to come."""

        def underway() -> bool:
            progress, row = self.progress(), self.series(series_instance_uid)
            if not progress or row is None or row.lease_owner is None:
                return False
            mine = row.lease_owner.startswith(f"worker:{self.pids()['worker']}:")
            right = progress["series"] == series_instance_uid
            return mine and right and patches <= progress["patches"] < progress["of"]

        self.wait_until(underway, END_WITHIN_S, f"{series_instance_uid} is analysed", interval_s=0.005)

    def progress(self) -> dict[str, Any]:
        """What the worker says of the patches it has computed; empty when it analyses nothing."""
        try:
            return dict(json.loads((self.storage / "progress.json").read_text()))
        except FileNotFoundError:
            return {}

    def audit(self, event: str | None = None, series_instance_uid: str | None = None) -> list[AuditEntry]:
        """Rows of the audit log, oldest first."""
        return list(entries(self.database, series_instance_uid=series_instance_uid, event=event))

    def check_intact(self) -> None:
        """The audit chain holds, no temporary file is left, nothing is leased."""
        verification = verify(self.database)
        assert verification.ok, verification.problem
        assert not list(self.storage.rglob("*.tmp"))
        assert not [row.series_instance_uid for row in list_series(self.database) if row.lease_owner]

    def command(self, *arguments: str, with_config: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run `dicom-node` with these arguments, as a user would."""
        config = ["--config", str(self.config)] if with_config else []
        return subprocess.run(
            [sys.executable, "-m", "dicom_node.cli", *arguments, *config],
            capture_output=True,
            text=True,
            timeout=START_WITHIN_S,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )

    def pids(self) -> dict[str, int]:
        """Process ids of receiver, router and worker, as the log last told."""
        started = [line for line in self._log() if line.get("event") == "process started"]
        return {str(line["child"]): int(line["pid"]) for line in started}

    def log_tail(self) -> str:
        """The end of the node's log."""
        if not self.log_file.exists():
            return "the node wrote no log"
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])

    def wait_until(self, condition: Any, deadline_s: float, what: str, *, interval_s: float = 0.02) -> Any:
        """`wait_until` that shows the node's log, and fails at once when the node has ended by itself."""

        def checked() -> Any:
            value = condition()
            if not value and self._process is not None and self._process.poll() is not None:
                raise AssertionError(f"the node ended with {self._process.returncode}\n{self.log_tail()}")
            return value

        return wait_until(checked, deadline_s, what, context=self.log_tail, interval_s=interval_s)

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "the node does not run"
        return self._process

    def _answers(self) -> bool:
        return echo(self.peer, "TESTER").ok

    def _is_ready(self, name: str) -> bool:
        """It has said so after it was last started."""
        ready = False
        for line in self._log():
            if line.get("event") == "process started" and line["child"] == name:
                ready = False
            elif line.get("event") == f"{name} ready":
                ready = True
        return ready

    def _log(self) -> Iterator[dict[str, Any]]:
        if not self.log_file.exists():
            return
        for line in self.log_file.read_text(errors="replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                yield json.loads(line)


def _common_tables(port: int) -> Tables:
    """Settings for small series and short waits."""
    return {
        "node": {"ae_title": AE_TITLE},
        "receiver": {"host": "127.0.0.1", "port": port, "minimum_free_gib": 0.1},
        "selection": {"contrast_minimum_volume_ml": CONTRAST_ML},
        "assembly": {"quiet_s": QUIET_S, "poll_s": 0.05},
        "delivery": {"first_delay_s": 0.5, "maximum_delay_s": 1.0},
        "retention": {"spare_gib": 0.0},  # whatever is free on this disk
        "storage": {"folder": "node"},
        "log": {"level": "info", "format": "json"},
    }


def _merge(tables: Tables, changes: Tables) -> Tables:
    return {name: {**tables.get(name, {}), **changes.get(name, {})} for name in {**tables, **changes}}


def _as_toml(tables: Tables, destinations: Sequence[Destination]) -> str:
    """Strings, numbers, booleans and lists of them are written the same in TOML as in JSON."""
    sections = [(f"[{name}]", table) for name, table in tables.items()]
    sections += [("[[destination]]", destination) for destination in destinations]
    return "\n".join(
        "\n".join([head, *(f"{key} = {json.dumps(value)}" for key, value in table.items())])
        for head, table in sections
    )


def _is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"
