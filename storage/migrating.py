"""Bringing a database up to date, with the audit row that tells of it."""

import importlib.metadata
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from storage.audit import append
from storage.database import Database, open_database
from storage.schema import SCHEMA_REVISION


def node_version() -> str:
    """The version of this program."""
    return importlib.metadata.version("glia-node")


def bring_up_to_date(path: Path, actor: str, now: datetime) -> Database:
    """Open the database at `path` as `open_database` does; where an older version made it, an audit row says so.

    The row stands or falls with the migration. Raises as `open_database`.
    """

    def tell(connection: Connection, revision: str) -> None:
        detail = {"from": revision, "to": SCHEMA_REVISION, "version": node_version()}
        append(connection, "database-migrated", now, actor=actor, detail=detail)

    return open_database(path, tell)
