"""A disk that is full, read-only or broken, from each write on until it takes everything again."""

from collections.abc import Callable

import pytest

from storage.audit import entries
from storage.database import open_database
from tests.integration.faults.conftest import Calm
from tests.support.faults_plan import TAKES_NO_SPACE, Plan
from tests.support.faults_run import Ordeal


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS", "EIO"])
def test_each_write_is_refused(error: str, calm: Calm, new_ordeal: Callable[[], Ordeal]) -> None:
    """The sender hears 0xA700 (out of resources) and nothing else; when the disk is well again the series ends."""
    ordeal = new_ordeal()
    struck = ordeal.live_through(error)
    ordeal.live_on()  # what could not be removed is removed by the next start
    ordeal.check_end(calm.results)
    assert ordeal.refused > 0
    for point in sorted(writes_of(calm) - set(struck)):
        again = new_ordeal()
        life = again.live(Plan(error, only=point))
        assert life.strikes == [point]
        again.live_on()
        again.check_end(calm.results)
    db = open_database(ordeal.storage / "node.sqlite3")
    failed = [entry.detail for entry in entries(db, event="series-failed")]
    db.close()
    assert error == "EIO" or failed == [], "nobody had to ask for a retry once there was space"


def writes_of(calm: Calm) -> set[str]:
    points = {point.partition(" ")[2] for point in calm.passed}
    return {point for point in points if not point.startswith(TAKES_NO_SPACE)}
