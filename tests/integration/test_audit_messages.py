"""A node tells an audit record repository of everything, through an outage and a kill."""

from collections import Counter
from pathlib import Path

import pytest

from dicom_node.atna.events import TELLERS
from tests.support.audit_messages import SeenMessage, see
from tests.support.certificates import Authority, as_table
from tests.support.head_series import send
from tests.support.node import NodeUnderTest
from tests.support.pipeline import small_series
from tests.support.ports import free_port
from tests.support.syslog_receiver import SyslogReceiver, receiving

WITHIN_S = 60.0


def wait_for_row(node: NodeUnderTest, receiver: SyslogReceiver, event: str) -> SeenMessage:
    """The message of the newest row of an event."""

    def there() -> SeenMessage | None:
        number = node.audit(event)[-1].number
        return next((one for one in map(see, list(receiver.messages)) if one.row == number), None)

    return node.wait_until(there, WITHIN_S, f"the message of {event}")  # type: ignore[no-any-return]


@pytest.mark.slow
def test_nothing_is_lost_while_the_repository_is_down_or_the_node_is_killed(tmp_path: Path) -> None:
    authority, port = Authority(tmp_path / "ca"), free_port()
    series = small_series(tmp_path)
    atna = {"enabled": True, "port": port, "first_delay_s": 0.2, "maximum_delay_s": 0.5}
    tables = {"atna": atna, "tls": as_table(authority.issue("node"))}
    with NodeUnderTest(tmp_path / "site", tables=tables) as node:
        send(node.peer, series.files)
        node.wait_until(lambda: node.audit("series-opened"), WITHIN_S, "the series is registered")
        node.kill()
        node.start()
        with receiving(authority.issue("repository"), port) as receiver:
            assert wait_for_row(node, receiver, "series-opened").event_id == "110102"
            assert wait_for_row(node, receiver, "node-started").event_type == "110120"
            node.stop()
            told = [see(one) for one in receiver.messages]
        assert told[-1].event_type == "110121", "the stop itself is the last"
        rows = {entry.number: entry for entry in node.audit() if entry.event in TELLERS}
        assert {one.row for one in told} == set(rows)
        assert max(Counter(receiver.messages).values()) == 1, "nothing came twice: every end was answered"
        assert all(rows[one.row].hash in one.description for one in told)
        node.check_intact()
