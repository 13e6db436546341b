"""Databases of earlier versions of the node."""

from pathlib import Path

from alembic.command import upgrade
from alembic.config import Config
from sqlalchemy import create_engine

from storage.database import MIGRATIONS

AT = "2026-01-15T10:00:00.000000Z"
SERIES = """INSERT INTO series (id, series_instance_uid, study_instance_uid, state, revision, instance_count,
    conflicting, urgent, sender_ae_title, first_received_at, last_received_at, attempts, crashes)
    VALUES (7, '1.2', '1', 'RECEIVING', 1, 0, 0, 0, 'CT1', ?, ?, 0, 0)"""
RESULT = """INSERT INTO results (series_id, revision, role, sop_class_uid, sop_instance_uid, series_instance_uid,
    path, sha256, size, created_at) VALUES (7, 1, ?, '1', ?, '2', ?, ?, 9, ?)"""
DELIVERY = """INSERT INTO deliveries (id, series_id, revision, destination, state, attempts, not_before, lease_owner,
    lease_expires_at, statuses, last_error, created_at, ended_at, roles)
    VALUES (?, 7, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
ROWS = [
    (3, "waiting", "PENDING", 2, AT, None, None, None, "no connection", AT, None, '["seg"]'),
    (5, "sending", "PENDING", 1, None, "router:1:sending", AT, None, None, AT, None, None),
    (8, "done", "DELIVERED", 1, None, None, None, '[{"status": "0x0000"}]', None, AT, AT, '["seg", "sr"]'),
    (9, "given-up", "FAILED", 48, None, None, None, None, "refused", AT, AT, '["sr"]'),
    (13, "late", "WITHDRAWN", 0, None, None, None, None, None, AT, AT, '["sr"]'),
]


def old_database(path: Path, revision: str) -> None:
    """A database as the version of that revision left it, with a delivery in each state."""
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        upgrade(config, revision)
        connection.exec_driver_sql(SERIES, (AT, AT))
        for role in ("seg", "sr"):
            connection.exec_driver_sql(RESULT, (role, role, role, "a" * 64, AT))
        for row in ROWS:
            connection.exec_driver_sql(DELIVERY, row)
    engine.dispose()
