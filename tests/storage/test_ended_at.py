"""When a series ended: kept from now on, and worked out for those that an earlier version has ended."""

from pathlib import Path

from alembic.command import upgrade
from alembic.config import Config
from sqlalchemy import create_engine

from storage.database import MIGRATIONS, open_database
from storage.reanalysis import reanalyse
from storage.series import list_series
from tests.storage.stages import SERIES, Node

BEGAN, DECIDED, DELIVERED = (f"2026-01-15T1{hour}:00:00.000000Z" for hour in range(3))
ADD_SERIES = (
    "INSERT INTO series (id, series_instance_uid, study_instance_uid, state, revision, instance_count, conflicting,"
    " urgent, sender_ae_title, first_received_at, last_received_at, attempts, crashes, outcome, findings_path,"
    " weights_sha256, lesion_count, refusal_code, concluded_at)"
    " VALUES (?, ?, '1', ?, 2, 0, 0, 0, 'CT1', ?, ?, 0, 0, ?, 'f', 'w', 0, ?, ?)"
)
ADD_DELIVERY = (
    "INSERT INTO deliveries (series_id, revision, destination, state, attempts, created_at, ended_at)"
    " VALUES (1, ?, ?, 'DELIVERED', 1, ?, ?)"
)


def test_series_that_an_earlier_version_has_ended(tmp_path: Path) -> None:
    """With the last delivery of their revision; with the decision where nothing was delivered."""
    path = tmp_path / "node.sqlite3"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        upgrade(config, "0002")
        for number, state, outcome, code in (
            (1, "DONE", "analysed", None),
            (2, "NOT_ANALYSED", "refused", "modality"),
            (3, "DELIVERING", "analysed", None),
        ):
            values = (number, str(number), state, BEGAN, BEGAN, outcome, code, DECIDED)
            connection.exec_driver_sql(ADD_SERIES, values)
        for revision, name, ended in ((1, "pacs", "2027"), (2, "pacs", DECIDED), (2, "archive", DELIVERED)):
            connection.exec_driver_sql(ADD_DELIVERY, (revision, name, BEGAN, ended))
    engine.dispose()
    db = open_database(path)
    ended = {row.series_instance_uid: row.ended_at and row.ended_at.hour for row in list_series(db)}
    db.close()
    assert ended == {"1": 12, "2": 11, "3": None}


def test_the_end_is_kept_until_the_series_goes_on(node: Node) -> None:
    node.publish()
    node.deliver("PACS")
    assert node.series().ended_at is None
    node.deliver("ARCHIVE")
    assert node.series().ended_at == node.now
    reanalyse(node.db, SERIES, "user:jo", node.now)
    assert node.series().ended_at is None
