"""A node that is struck again and again, seen from outside: its scanner, its PACS, and what must hold at the end."""

import multiprocessing
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from dicom_node.association import AssociationFailed
from dicom_node.send import RemoteNode
from dicom_node.settings import Settings
from dicom_node.store_file import StoreAnswer, store_file
from storage.audit import entries, verify
from storage.database import Database, open_database
from storage.series import list_series
from storage.states import SeriesState
from tests.support.archive import TestArchive
from tests.support.dicom_network import data_set_of
from tests.support.faults_node import ENDED, HEAL, PASSED, READY, STOP, run_node
from tests.support.faults_plan import CUT, HIT, KILL, Plan
from tests.support.faults_power import DURABLE
from tests.support.head_series import HeadSeries, is_kept_whole, scanner

DEADLINE_S = 60.0
GOES_ON_S = 0.1  # how long a refusing disk is left to refuse
MOST_LIVES = 400
OUT_OF_RESOURCES = 0xA700
PRELOADED = ["tests.support.faults_preload"]


@dataclass
class Life:
    """What one process did: where it was struck, whether all series ended, how often it passed points."""

    strikes: list[str] = field(default_factory=list)
    ended: bool = False
    passed: dict[str, int] = field(default_factory=dict)
    exit_status: int | None = None

    @property
    def struck(self) -> str | None:
        return self.strikes[-1] if self.strikes else None


@dataclass
class Ordeal:
    """A storage folder, a series that its scanner sends until all of it is confirmed, and one process after another."""

    folder: Path
    series: HeadSeries
    archive: TestArchive
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    confirmed: set[Path] = field(default_factory=set)
    refused: int = 0
    history: list[str] = field(default_factory=list)

    @property
    def storage(self) -> Path:
        return self.folder / "node"

    def live(self, plan: Plan) -> Life:
        """Start a process, send what is not confirmed, and see it through to its end or that of the series."""
        ours, theirs = multiprocessing.Pipe()
        process = _forkserver().Process(target=run_node, args=(self._settings(), plan, theirs))
        process.start()
        theirs.close()
        life = Life()
        try:
            self._attend(ours, life, plan.kind)
            process.join(DEADLINE_S)
            life.exit_status = process.exitcode
        finally:
            _end(process)
            ours.close()
        self.history += [f"{plan.kind} at {point}" for point in life.strikes]
        if plan.kind == CUT and life.struck is not None:
            shutil.rmtree(self.storage)
            self.storage.with_name(self.storage.name + DURABLE).rename(self.storage)
        return life

    def live_through(self, kind: str, seed: int = 0) -> list[str]:
        """One life after another, each struck at the first point where none was struck before; those points."""
        struck: list[str] = []
        for number in range(MOST_LIVES):
            life = self.live(Plan(kind, frozenset(struck), seed=seed + number))
            struck += life.strikes
            if life.strikes:
                self.check_confirmed()
            if life.ended:
                return struck
        raise AssertionError(f"no end after {MOST_LIVES} lives; the last: {self.history[-5:]}")

    def live_on(self) -> None:
        """A life without faults, to the end."""
        life = self.live(Plan())
        assert life.ended and life.exit_status == 0, f"{life}\n{self._told()}"

    def check_confirmed(self) -> None:
        """Every instance that was answered Success is in the spool with its bytes, whatever the database says."""
        spooled = {data_set_of(path) for path in (self.storage / "spool").rglob("*.dcm")}
        lost = [file.name for file in self.confirmed if data_set_of(file) not in spooled]
        assert not lost, f"{lost} were confirmed and are gone\n{self._told()}"

    def check_end(self, expected: dict[str, str]) -> None:
        """The invariants, once it has ended: `expected` are the results' UIDs by modality, of a run without faults."""
        db = open_database(self.storage / "node.sqlite3")
        try:
            self.check_confirmed()
            self._check_rows(db)
            verification = verify(db)
            assert verification.ok, f"{verification.problem}\n{self._told()}"
        finally:
            db.close()
        assert {one.Modality: one.SOPInstanceUID for one in self.archive.objects()} == expected, self._told()
        self.archive.check_copies_agree()
        assert not list(self.storage.rglob("*.tmp")), self._told()

    def _check_rows(self, db: Database) -> None:
        (row,) = list_series(db)
        assert (row.state, row.revision, row.lease_owner) == (SeriesState.DONE, 1, None), (
            f"{row}\n{self._told()}"
        )
        assert row.instance_count == len(self.series.files), self._told()
        assert is_kept_whole(db, self.storage / "spool", self.series), self._told()
        ends = [
            one.event for one in entries(db, self.series.uid) if one.event in ("series-done", "delivered")
        ]
        assert ends == ["delivered", "series-done"], f"{ends}\n{self._told()}"

    def _attend(self, control: Connection, life: Life, kind: str) -> None:
        """Be its scanner until it dies or is told to stop."""
        port = 0
        while control.poll(DEADLINE_S):
            try:
                what, detail = control.recv()
            except (EOFError, ConnectionResetError):
                return
            if what == READY:
                port = detail
            elif what == HIT:
                life.strikes.append(detail)
                if kind not in (KILL, CUT):
                    control.poll(GOES_ON_S)
                    _say(control, HEAL)
            elif what == ENDED:
                life.ended = True
                _say(control, STOP)
            elif what == PASSED:
                life.passed = detail
                return
            if port and not life.ended:
                self._send(port)
        raise AssertionError(f"the node says nothing any more\n{self._told()}")

    def _send(self, port: int) -> None:
        """Offer what is not confirmed, over one association; what is refused is refused for want of resources."""
        files = [file for file in self.series.files if file not in self.confirmed]
        if not files:
            return
        peer = RemoteNode("GLIANET", "127.0.0.1", port, dimse_timeout_s=DEADLINE_S)
        with suppress(AssociationFailed), scanner(peer, files) as association:
            for number, file in enumerate(files):
                answer = store_file(association, file, number)
                if answer.status is None:
                    return
                self._note(file, answer)

    def _note(self, file: Path, answer: StoreAnswer) -> None:
        if answer.status == 0:
            self.confirmed.add(file)
        else:
            assert answer.status == OUT_OF_RESOURCES, f"{answer}\n{self._told()}"
            self.refused += 1

    def _settings(self) -> Settings:
        given = {
            "storage": {"folder": self.storage},
            "receiver": {"minimum_free_gib": 0.0, "host": "127.0.0.1"},
            "selection": {"minimum_slices": 4, "contrast_minimum_volume_ml": 0.0},
            "destination": [self.archive.destination],
            **self.tables,
        }
        settings = Settings.model_validate(given)
        any_port = settings.receiver.model_copy(update={"port": 0})
        return settings.model_copy(update={"receiver": any_port})

    def _told(self) -> str:
        return "\n".join(["what was done to the node:", *self.history])


def _say(control: Connection, what: str) -> None:
    with suppress(OSError):  # it has died
        control.send(what)


def _end(process: BaseProcess) -> None:
    if process.is_alive():
        process.kill()
        process.join()


def _forkserver() -> multiprocessing.context.ForkServerContext:
    """Processes forked from one that has imported everything and runs no thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context
