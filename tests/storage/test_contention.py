"""Several processes on one database, as in a node: nothing is done twice, and nobody finds it locked."""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from storage.audit import verify
from storage.database import open_database
from storage.jobs import accept, claim_series, release_leases
from storage.reception import ReceivedInstance, record_instances
from storage.series import list_series
from storage.spool import Arrival, Spool
from storage.states import SeriesState
from tests.storage.stages import Node

PROCESSES = 3
QUEUE = 24
DEADLINE_S = 60.0
LEASE = timedelta(minutes=5)
SPAWN = multiprocessing.get_context("spawn")


def claim_all(path: Path, number: int, pipe: Connection) -> None:
    """Claim until nothing is left, moving each on, as the stages do."""
    db = open_database(path)
    pipe.send("ready")
    pipe.recv()
    claimed = []
    while claim := claim_series(db, SeriesState.COMPLETE, f"router:{number}", datetime.now(UTC), LEASE):
        accept(db, claim, False, {}, datetime.now(UTC))
        claimed.append(claim.series_instance_uid)
    db.close()
    pipe.send(claimed)


def receive_many(path: Path, number: int, pipe: Connection) -> None:
    """Store and record the slices of one series that every process receives, and of one of its own."""
    db, spool = open_database(path), Spool(path.parent / "spool")
    pipe.send("ready")
    pipe.recv()
    arrivals = []
    for slice_number in range(QUEUE):
        for series in ("1.2.9", f"1.2.{number}"):
            stored = spool.store(series, f"{series}.{slice_number}", b"head", b"body" * 1000)
            one = received(series, slice_number, stored.path, stored.arrival)
            record_instances(db, [one], datetime.now(UTC))
            arrivals.append((series, stored.arrival))
    db.close()
    pipe.send(arrivals)


def received(series: str, number: int, path: str, arrival: Arrival) -> ReceivedInstance:
    sop, now = f"{series}.{number}", datetime.now(UTC)
    return ReceivedInstance("1.2", series, sop, "1", "1", path, "c" * 64, 4004, arrival, "CT", None, now)


def hold_a_claim(path: Path, pipe: Connection) -> None:
    db = open_database(path)
    claim = claim_series(db, SeriesState.COMPLETE, f"worker:{os.getpid()}", datetime.now(UTC), LEASE)
    pipe.send(None if claim is None else claim.series_instance_uid)
    pipe.recv()  # nothing is ever sent: killed here


def run_at_once(target: Callable[..., None], path: Path) -> list[list[Any]]:
    pipes, processes = [], []
    for number in range(PROCESSES):
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=target, args=(path, number, theirs))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        assert pipe.poll(DEADLINE_S) and pipe.recv() == "ready"
    for pipe in pipes:
        pipe.send("go")
    answers = [pipe.recv() if pipe.poll(DEADLINE_S) else pytest.fail("no answer") for pipe in pipes]
    for process in processes:
        process.join(DEADLINE_S)
        assert process.exitcode == 0
    return answers


def test_each_series_is_claimed_exactly_once(node: Node) -> None:
    uids = [f"1.{number}" for number in range(QUEUE)]
    for uid in uids:
        node.complete(uid)
    answers = run_at_once(claim_all, node.db.path)
    claimed = [uid for answer in answers for uid in answer]
    assert sorted(claimed) == sorted(uids)
    assert {row.state for row in list_series(node.db)} == {SeriesState.QUEUED}
    assert len(node.events("series-accepted")) == QUEUE
    assert verify(node.db).ok, "the chain holds although several processes wrote it"


def test_several_receivers_of_one_series(node: Node) -> None:
    answers = run_at_once(receive_many, node.db.path)
    arrivals = Counter(arrival for answer in answers for arrival in answer)
    assert arrivals["1.2.9", Arrival.NEW] == QUEUE
    assert arrivals["1.2.9", Arrival.DUPLICATE] == QUEUE * (PROCESSES - 1)
    for row in list_series(node.db):
        assert (row.instance_count, row.revision, row.conflicting) == (QUEUE, 1, False)
    assert verify(node.db).ok


def test_what_a_killed_process_had_claimed_is_worked_on_by_the_next(node: Node) -> None:
    node.complete("1.1")
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=hold_a_claim, args=(node.db.path, theirs))
    process.start()
    assert ours.poll(DEADLINE_S) and ours.recv() == "1.1"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(DEADLINE_S)
    assert claim_series(node.db, SeriesState.COMPLETE, "me", datetime.now(UTC), LEASE) is None
    assert release_leases(node.db, f"worker:{process.pid}", node.now, crashed=True) == ["1.1"]
    claim = claim_series(node.db, SeriesState.COMPLETE, "me", datetime.now(UTC), LEASE)
    assert claim is not None
    assert (claim.attempts, claim.crashes) == (1, 1)
