"""Nothing is lost, whatever the receiver does, and nothing comes twice but a batch whose end nobody knows."""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dicom_node.atna import follow
from dicom_node.atna.cursor import begin_here, read_marks
from dicom_node.atna.follow import BATCH_ROWS, PAUSE_S, Follower, send_last
from dicom_node.atna.transport import RepositoryError
from dicom_node.settings import Settings
from storage.audit import append, entries, record
from storage.database import Database, open_database
from storage.errors import DiskFull
from tests.storage.test_audit import tamper
from tests.support.audit_messages import SeenMessage, see
from tests.support.certificates import Authority, as_table
from tests.support.pipeline import SetClock
from tests.support.ports import free_port
from tests.support.syslog_receiver import Fault, receiving


@dataclass
class Repository:
    """Takes batches, or does not."""

    batches: list[list[bytes]] = field(default_factory=list)
    refuses: Exception | None = None
    tries: int = 0
    takes: int = 1_000_000

    def __call__(self, messages: Sequence[bytes]) -> None:
        self.tries += 1
        if self.refuses is not None:
            raise self.refuses
        if len(messages) > self.takes:
            raise RepositoryError("no answer in time", "repository")
        self.batches.append(list(messages))

    @property
    def seen(self) -> list[SeenMessage]:
        return [see(one) for batch in self.batches for one in batch]

    @property
    def rows(self) -> list[int]:
        return [one.row for one in self.seen]


@dataclass
class Site:
    """A node's folder and database, and a clock that only moves when told."""

    db: Database
    settings: Settings
    clock: SetClock = field(default_factory=SetClock)
    repository: Repository = field(default_factory=Repository)
    seconds: float = 0.0

    def follower(self) -> Follower:
        """As after a start of the router."""
        return Follower(
            self.db, self.settings, self.clock, send=self.repository, monotonic=lambda: self.seconds
        )

    @property
    def cursor(self) -> Path:
        return Path(self.settings.storage.folder) / "atna-cursor.json"

    def note(self, *events: str) -> None:
        for event in events:
            record(self.db, event, self.clock(), actor="node", detail={})

    def run(self, follower: Follower, rounds: int = 10) -> None:
        """Let it work until it has nothing more to do, with time for its pauses."""
        for _ in range(rounds):
            while follower.follow():
                pass
            self.seconds += PAUSE_S


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    atna = {"enabled": True, "first_delay_s": 2.0, "maximum_delay_s": 10.0}
    settings = Settings.model_validate({"storage": {"folder": tmp_path}, "atna": atna})
    db = open_database(tmp_path / "node.sqlite3")
    yield Site(db, settings)
    db.close()


def test_rows_go_once_and_in_order(site: Site) -> None:
    site.note("node-started", "lease-released", "process-died")
    follower = site.follower()
    site.run(follower)
    assert site.repository.rows == [1, 3]
    site.note("process-died", "node-stopped")
    site.run(follower)
    assert site.repository.rows == [1, 3, 4, 5]
    site.run(site.follower())
    assert site.repository.rows == [1, 3, 4, 5], "a restart sends nothing again"


def test_a_row_that_becomes_no_message_after_all_is_not_waited_for(site: Site) -> None:
    """Such as results for no destination: `dicom-node status` counts from the cursor on."""
    site.note("results-published", "lease-released")
    site.run(site.follower())
    assert site.repository.tries == 0
    assert read_marks(site.cursor)[-1].number == 2


def test_rows_that_come_together_go_together(site: Site) -> None:
    site.note("node-started", *["process-died"] * 4)
    site.run(site.follower())
    assert [len(batch) for batch in site.repository.batches] == [5]


def test_more_rows_than_a_batch(site: Site) -> None:
    with site.db.transaction() as connection:
        for _ in range(2 * BATCH_ROWS + 1):
            append(connection, "process-died", site.clock(), actor="node", detail={})
    site.note("node-started")
    site.run(site.follower())
    assert site.repository.rows == list(range(1, 2 * BATCH_ROWS + 3))
    assert max(map(len, site.repository.batches)) == BATCH_ROWS


def test_while_the_receiver_is_down_rows_wait(site: Site) -> None:
    site.repository.refuses = RepositoryError("Connection refused", "repository")
    follower = site.follower()
    site.note("node-started")
    site.run(follower, rounds=3)
    site.note("process-died")
    site.run(site.follower(), rounds=3)  # the router was started anew meanwhile
    site.note("node-stopped")
    assert site.repository.batches == []
    site.repository.refuses = None
    site.seconds += 10
    site.run(site.follower())
    assert site.repository.rows == [1, 2, 3]


def test_tries_grow_rare_and_do_not_end(site: Site) -> None:
    site.repository.refuses = RepositoryError("Connection refused", "repository")
    site.note("node-started")
    follower = site.follower()
    tried_at = []
    for _ in range(60):
        before = site.repository.tries
        follower.follow()
        if site.repository.tries > before:
            tried_at.append(site.seconds)
        site.seconds += 1
    assert tried_at == [0, 2, 6, 14, 24, 34, 44, 54], "after 2, 4, 8 and then always 10 seconds"


def test_a_slow_receiver_gets_fewer_at_a_time(site: Site) -> None:
    """Else it would time out over the same messages for ever."""
    site.repository.takes = 2
    site.note(*["process-died"] * 20)
    site.note("node-started")
    follower = site.follower()
    for _ in range(200):
        follower.follow()
        site.seconds += 10
    assert site.repository.rows == list(range(1, 22))


def test_a_crash_after_sending_sends_the_same_octets_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: what was sent and not noted comes twice, and is recognised by its row."""
    site.note("node-started", "process-died")
    follower = site.follower()
    write = follow.write_marks

    def full(file: Path, marks: object) -> None:
        if site.repository.batches:
            raise DiskFull(str(file))
        write(file, marks)  # type: ignore[arg-type]

    monkeypatch.setattr(follow, "write_marks", full)
    follower.follow()
    monkeypatch.undo()
    site.run(site.follower())
    assert site.repository.rows == [1, 2, 1, 2]
    assert site.repository.batches[0] == site.repository.batches[1]


def test_an_unforeseen_error_ends_nothing(site: Site) -> None:
    site.repository.refuses = RuntimeError("a bug")
    site.note("node-started")
    follower = site.follower()
    assert not follower.follow()
    site.repository.refuses = None
    site.seconds += 10
    site.run(follower)
    assert site.repository.rows == [1]


def test_a_row_that_cannot_be_told_does_not_hold_up_the_others(site: Site) -> None:
    site.note("node-started")
    detail = {"destinations": "no table", "revision": "none"}
    record(site.db, "results-published", site.clock(), series_instance_uid="1.2", actor="node", detail=detail)
    site.note("process-died")
    site.run(site.follower())
    assert site.repository.rows == [1, 2, 3]
    assert site.repository.seen[1].event_type == "110133"


def test_years_of_history_are_not_sent_at_the_first_start(site: Site) -> None:
    site.note("node-started", "process-died", "node-stopped")
    begin_here(site.db, site.cursor)
    site.note("node-started", "process-died")
    site.run(site.follower())
    assert site.repository.rows == [4, 5]


def test_a_damaged_cursor_sends_everything_again(site: Site) -> None:
    site.note("node-started", "node-stopped")
    site.run(site.follower())
    site.cursor.write_text("damaged")
    site.run(site.follower())
    assert site.repository.rows == [1, 2, 1, 2]


def alerts(site: Site) -> list[SeenMessage]:
    return [one for one in site.repository.seen if one.event_type == "110132"]


def test_a_log_that_was_cut_off_is_told_of(site: Site) -> None:
    site.note("node-started")
    follower = site.follower()
    site.run(follower)
    site.note("process-died", "process-died")
    site.run(follower)
    last = "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'audit'"
    tamper(site.db.path, "DELETE FROM audit WHERE number > 1", last)
    site.note("node-stopped")
    site.run(follower)
    (alert,) = alerts(site)
    assert "row 3 is not as it was sent; going on after row 1" in alert.description
    assert site.repository.rows == [1, 2, 3, 2, 3], "what stands there now goes out: the stop, and the alert"
    assert [entry.event for entry in entries(site.db)] == [
        "node-started",
        "node-stopped",
        "audit-log-changed",
    ]


def test_a_row_that_was_made_unreadable_does_not_hold_up_the_others(site: Site) -> None:
    """Who can write the database must not be able to stop the messages with it."""
    site.note("node-started", "process-died", "process-died", "node-stopped")
    unreadable = "UPDATE audit SET detail = 'no JSON' WHERE number = 2", "UPDATE audit SET at = 'x' WHERE number = 3"
    tamper(site.db.path, *unreadable)
    site.run(site.follower())
    assert site.repository.rows == [1, 2, 3, 4]
    assert [one.row for one in alerts(site)] == [2, 3]
    assert "this row was changed and cannot be read" in alerts(site)[0].description


def test_a_log_that_was_restored_goes_on_where_both_agree(site: Site, tmp_path: Path) -> None:
    site.note("node-started")
    follower = site.follower()
    site.run(follower)
    backup = tmp_path / "backup.sqlite3"
    raw = sqlite3.connect(site.db.path)
    raw.execute("VACUUM INTO ?", (str(backup),))
    raw.close()
    site.note("process-died")
    site.run(follower)
    site.db.close()
    for name in ("node.sqlite3-wal", "node.sqlite3-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(backup, site.db.path)
    site.note("node-started")
    site.run(site.follower())
    assert len(alerts(site)) == 1
    assert site.repository.rows == [1, 2, 2, 3]
    site.run(site.follower())
    assert len(alerts(site)) == 1, "said once"


def test_the_last_try_of_a_node_that_stops(site: Site, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    tls = as_table(authority.issue("node"))
    with receiving(authority.issue("repository")) as receiver:
        site.note("node-started", "node-stopped")
        settings = Settings.model_validate(
            {"storage": {"folder": tmp_path}, "tls": tls, "atna": {"enabled": True, "port": receiver.port}}
        )
        send_last(site.db, settings, site.clock)
        assert [see(one).event_type for one in receiver.messages] == ["110120", "110121"]
    site.note("process-died")
    send_last(site.db, settings, site.clock)  # nobody listens: it returns, and the row waits


def test_over_tls_through_everything_that_goes_wrong(site: Site, tmp_path: Path) -> None:
    """One receiver after another on a port: none, a deaf one, one that resets, a stranger, and the right one."""
    authority, port = Authority(tmp_path / "ca"), free_port()
    repository = authority.issue("repository")
    stranger = Authority(tmp_path / "other", "Another CA").issue("x", trusting=authority.certificate)
    atna = {"enabled": True, "port": port, "timeout_s": 0.5, "first_delay_s": 1.0, "maximum_delay_s": 1.0}
    tls = as_table(authority.issue("node"))
    settings = Settings.model_validate({"storage": {"folder": tmp_path}, "tls": tls, "atna": atna})

    def attempt() -> None:
        site.note("process-died")
        Follower(site.db, settings, site.clock).follow()

    site.note("node-started")
    attempt()
    for fault in (Fault.DEAF, Fault.RESET, Fault.HANGS_UP):
        with receiving(repository, port) as receiver:
            receiver.fault = fault
            attempt()
            assert receiver.messages == []
    with receiving(stranger, port) as receiver:
        attempt()
        assert receiver.messages == []
    with receiving(repository, port) as receiver:
        attempt()
        assert [see(one).row for one in receiver.wait_for(7)] == [1, 2, 3, 4, 5, 6, 7]
