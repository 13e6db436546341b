"""How often processes have died of late."""

from datetime import timedelta

from storage.audit import record
from storage.recent_deaths import recent_deaths
from tests.storage.stages import Node

HOUR = timedelta(hours=1)


def die(node: Node, process: str) -> None:
    detail = {"process": process, "exit_status": 1, "series_released": 0}
    record(node.db, "process-died", node.now, actor="node", detail=detail)


def test_nothing_has_died_in_an_empty_log(node: Node) -> None:
    assert recent_deaths(node.db, node.now) == {}


def test_deaths_are_counted_by_process_from_then_on(node: Node) -> None:
    die(node, "receiver")
    node.now += HOUR
    since = node.now
    for process in ("worker", "receiver", "receiver"):
        die(node, process)
        node.now += timedelta(minutes=10)
    record(node.db, "node-started", node.now, actor="node", detail={})
    assert recent_deaths(node.db, since) == {"receiver": 2, "worker": 1}
    assert recent_deaths(node.db, since - HOUR) == {"receiver": 3, "worker": 1}
    assert recent_deaths(node.db, node.now) == {}
