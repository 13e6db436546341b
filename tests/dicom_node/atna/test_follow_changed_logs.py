"""A log that is not as it was sent, or whose cursor is not, is told of and goes on: nothing holds up the rows."""

import shutil
import sqlite3
from pathlib import Path

from storage.audit import entries
from tests.support.audit_log import tamper
from tests.support.audit_messages import SeenMessage
from tests.support.followed_log import Site


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
