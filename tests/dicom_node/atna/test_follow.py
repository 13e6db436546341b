"""Nothing is lost, whatever the receiver does, and nothing comes twice but a batch whose end nobody knows."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_node.atna import follow
from dicom_node.atna.cursor import begin_here, read_marks
from dicom_node.atna.follow import BATCH_ROWS, Follower, send_last
from dicom_node.atna.message import AuditMessage
from dicom_node.atna.transport import RepositoryError
from dicom_node.settings import Settings
from storage.audit import AuditEntry, append, record
from storage.errors import DiskFull, StorageError, UnreadableRow
from tests.support.audit_messages import see
from tests.support.certificates import Authority, as_table
from tests.support.followed_log import Site
from tests.support.ports import free_port
from tests.support.syslog_receiver import Fault, receiving


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


@pytest.mark.parametrize("error", [NotImplementedError, RecursionError, RuntimeError, OSError, UnreadableRow])
def test_whatever_a_row_raises_it_is_told_in_short(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Such as an image whose header pydicom cannot decode: 21 rows behind it once waited for ever."""
    monkeypatch.setattr(follow, "tell", failing_at(2, error(1), follow.tell))
    site.note("node-started", "process-died", "node-stopped")
    site.run(site.follower())
    assert site.repository.rows == [1, 2, 3]
    assert [one.row for one in site.repository.seen if one.event_type == "110133"] == [2]


def test_a_row_is_told_in_full_when_the_database_answers_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "tell", failing_at(2, StorageError("locked", where="test"), follow.tell))
    site.note("node-started", "process-died", "node-stopped")
    follower = site.follower()
    site.run(follower, rounds=1)
    assert site.repository.rows == []
    monkeypatch.undo()
    site.seconds += 10
    site.run(follower)
    assert site.repository.rows == [1, 2, 3]
    assert "110133" not in [one.event_type for one in site.repository.seen]


def failing_at(number: int, error: Exception, tell: Callable[..., tuple[AuditMessage, ...]]) -> object:
    def fail(narrator: object, entry: AuditEntry) -> tuple[AuditMessage, ...]:
        if entry.number == number:
            raise error
        return tell(narrator, entry)

    return fail


def test_years_of_history_are_not_sent_at_the_first_start(site: Site) -> None:
    site.note("node-started", "process-died", "node-stopped")
    begin_here(site.db, site.cursor)
    site.note("node-started", "process-died")
    site.run(site.follower())
    assert site.repository.rows == [4, 5]


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
