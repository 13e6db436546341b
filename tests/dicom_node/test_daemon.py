import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from dicom_node import daemon
from dicom_node.daemon import serve
from dicom_node.errors import NodeError
from dicom_node.processes import ORPHANED_EXIT_STATUS
from dicom_node.settings import Settings, StorageSettings
from storage.audit import entries
from storage.database import open_as_it_is
from storage.errors import AlreadyRunning, DiskFull
from storage.jobs import claim_series
from storage.migrating import node_version
from storage.node_lock import NodeLock
from storage.schema import SCHEMA_REVISION
from storage.states import SeriesState
from tests.support.children import deaf, doomed, obedient, overdue
from tests.support.old_databases import old_database
from tests.support.pipeline import Pipeline, accepted
from tests.support.waiting import wait_until

DEADLINE_S = 60.0  # a process starts in a second; a loaded machine takes its time
SIGKILLED = -signal.SIGKILL


def start(
    pipeline: Pipeline, target: object, monkeypatch: pytest.MonkeyPatch, name: str = "worker"
) -> daemon._Child:
    monkeypatch.setitem(daemon.PROCESSES, name, target)
    child = daemon._Child(name, pipeline.settings)
    child.start()
    return child


def ready(pipeline: Pipeline, child: daemon._Child) -> None:
    wait_until((pipeline.folders.root / "ready").exists, DEADLINE_S, "the child runs")
    assert child.process.is_alive()


def test_a_child_ends_when_it_is_told_to(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    child = start(pipeline, obedient, monkeypatch)
    ready(pipeline, child)
    daemon._stop_all([child])
    assert child.process.exitcode == 0


def test_a_child_ignores_the_signals_that_are_the_supervisors(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start(pipeline, obedient, monkeypatch)
    ready(pipeline, child)
    os.kill(child.process.pid, signal.SIGTERM)  # type: ignore[arg-type]
    os.kill(child.process.pid, signal.SIGINT)  # type: ignore[arg-type]
    daemon._stop_all([child])
    assert child.process.exitcode == 0, "it ended because it was told to, not by a signal"


def test_a_child_that_does_not_end_in_time_is_killed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "STOP_WITHIN_S", 0.5)
    child = start(pipeline, deaf, monkeypatch)
    ready(pipeline, child)
    daemon._stop_all([child])
    assert child.process.exitcode == SIGKILLED


def test_a_child_whose_supervisor_vanishes_exits_on_the_spot(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start(pipeline, deaf, monkeypatch)
    ready(pipeline, child)
    child.commands.close()
    child.process.join(DEADLINE_S)
    assert child.process.exitcode == ORPHANED_EXIT_STATUS


def test_each_death_in_a_row_doubles_the_wait_and_a_long_life_resets_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(daemon.time, "monotonic", lambda: clock[0])
    child = start(pipeline, doomed, monkeypatch, "router")
    waits = []
    for lived_s in (1.0, 1.0, 1.0, daemon.HEALTHY_AFTER_S + 1.0, 1.0):
        child.process.join(DEADLINE_S)
        clock[0] = child.started_at + lived_s
        daemon._restart_the_dead([child])
        daemon._note_deaths([child], pipeline.db)
        assert child.restart_at is not None
        waits.append(child.restart_at - clock[0])
        clock[0] = child.restart_at
        daemon._restart_the_dead([child])
    child.process.join(DEADLINE_S)
    assert waits == [1.0, 2.0, 4.0, 1.0, 2.0]
    details = [row.detail for row in entries(pipeline.db, event="process-died")]
    assert details == [{"process": "router", "exit_status": 3, "series_released": 0}] * 5


@pytest.mark.parametrize("name", ["worker", "router"])
def test_a_death_releases_what_the_process_held_and_counts_against_the_series(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    series = accepted(pipeline, tmp_path)
    child = start(pipeline, doomed, monkeypatch, name)
    child.process.join(DEADLINE_S)
    owner = f"{name}:{child.process.pid}:analysis"
    assert claim_series(pipeline.db, SeriesState.QUEUED, owner, pipeline.clock(), timedelta(hours=1))
    daemon._restart_the_dead([child])
    daemon._note_deaths([child], pipeline.db)
    row = pipeline.row(series)
    assert (row.lease_owner, row.crashes, row.attempts) == (None, 1, 0)


def test_a_death_that_cannot_be_noted_is_noted_later_and_ends_no_node(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start(pipeline, doomed, monkeypatch)
    child.process.join(DEADLINE_S)
    with monkeypatch.context() as full:
        full.setattr(daemon, "record", lambda *_, **__: _refuse())
        daemon._restart_the_dead([child])
        daemon._note_deaths([child], pipeline.db)
    assert (len(child.deaths), list(entries(pipeline.db, event="process-died"))) == (1, [])
    daemon._note_deaths([child], pipeline.db)
    assert [row.detail["exit_status"] for row in entries(pipeline.db, event="process-died")] == [3]
    assert child.deaths == []


def _refuse() -> None:
    raise DiskFull("node.sqlite3")


@pytest.mark.parametrize(("target", "code"), [(overdue, "time-limit"), (doomed, "worker-crashed")])
def test_a_process_that_takes_too_long_is_told_from_one_that_dies(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object, code: str
) -> None:
    """It is ended by the kernel, holding Python's lock in a library that never returns."""
    series = accepted(pipeline, tmp_path)
    for _ in range(3):
        child = start(pipeline, target, monkeypatch)
        owner = f"worker:{child.process.pid}:analysis"
        assert claim_series(pipeline.db, SeriesState.QUEUED, owner, pipeline.clock(), timedelta(hours=1))
        child.process.join(DEADLINE_S)
        daemon._restart_the_dead([child])
        daemon._note_deaths([child], pipeline.db)
    row = pipeline.row(series)
    assert (row.state, row.reason_code) == (SeriesState.FAILED, code)
    assert {entry.detail.get("overtime", False) for entry in entries(pipeline.db, event="process-died")} == {
        code == "time-limit"
    }


def test_a_start_frees_what_an_earlier_node_held_and_removes_half_written_files(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    series = accepted(pipeline, tmp_path)
    claim_series(pipeline.db, SeriesState.QUEUED, "worker:7:analysis", pipeline.clock(), timedelta(hours=1))
    half = pipeline.folders.results / "key" / "1" / "seg.dcm.0123456789abcdef.tmp"
    half.parent.mkdir(parents=True)
    half.touch()
    daemon._recover(pipeline.db, pipeline.folders)
    row = pipeline.row(series)
    assert (row.lease_owner, row.crashes) == (None, 1)
    assert not half.exists()


def test_a_second_node_on_the_same_folder_does_not_start(tmp_path: Path) -> None:
    settings = Settings(storage=StorageSettings(folder=tmp_path))
    with NodeLock(tmp_path), pytest.raises(AlreadyRunning) as refused:
        serve(settings)
    assert refused.value.pid == os.getpid()


def serve_for_a_moment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its children: told to stop where they would be started."""

    def stop(_: Settings) -> list[daemon._Child]:
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    monkeypatch.setattr(daemon, "_start_all", stop)
    before = os.umask(0o077)
    try:
        serve(settings)
    finally:
        os.umask(before)


def test_a_start_is_told_with_version_and_schema_and_makes_both_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that every backup has them."""
    settings = Settings(storage=StorageSettings(folder=tmp_path / "node"))
    serve_for_a_moment(settings, monkeypatch)
    keys = [tmp_path / "node" / name for name in ("audit-signing.key", "patient-hash.key")]
    made = [key.read_bytes() for key in keys]
    assert [key.stat().st_mode & 0o777 for key in keys] == [0o600, 0o600]
    serve_for_a_moment(settings, monkeypatch)
    assert [key.read_bytes() for key in keys] == made
    db = open_as_it_is(tmp_path / "node" / "node.sqlite3")
    started = list(entries(db, event="node-started"))
    db.close()
    assert [one.detail for one in started] == [
        {"ae_title": "GLIANET", "version": node_version(), "schema": SCHEMA_REVISION}
    ] * 2


def test_a_start_that_brings_the_database_up_to_date_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_database(tmp_path / "node.sqlite3", "0003")
    serve_for_a_moment(Settings(storage=StorageSettings(folder=tmp_path)), monkeypatch)
    db = open_as_it_is(tmp_path / "node.sqlite3")
    first = next(entries(db))
    db.close()
    assert (first.event, first.actor) == ("database-migrated", "node")
    assert (first.detail["from"], first.detail["to"]) == ("0003", SCHEMA_REVISION)


def test_a_node_does_not_start_in_the_folder_of_another_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.node_account.os.getuid", lambda: 54321)
    with pytest.raises(NodeError, match="run the command as the account that runs the node"):
        serve(Settings(storage=StorageSettings(folder=tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_stop_signal_wakes_the_supervisor_and_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with daemon._StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        daemon._wait_for_news([], signals)
        assert signals.stopping
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_supervisor_and_the_receiver_do_not_load_torch() -> None:
    code = (
        "import sys, dicom_node.daemon, dicom_node.receiver, dicom_node.router; print('torch' in sys.modules)"
    )
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "False"
