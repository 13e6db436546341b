"""The audit log: a row by its number, and what somebody can do who has the file and a SQLite shell."""

import json
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from storage.audit import AuditEntry, entries
from storage.database import Database

TRIGGERS = ("audit_refuses_update", "audit_refuses_delete", "audit_appends_only")
ROWS = 8  # of the fixture `filled`


def entry_numbered(db: Database, number: int) -> AuditEntry | None:
    """The row with this number; None where there is none."""
    return next(entries(db, numbers=(number, number)), None)


def tamper(path: Path, *statements: str) -> None:
    """As somebody with the file and a SQLite shell would."""
    raw = sqlite3.connect(path)
    for trigger in TRIGGERS:
        raw.execute(f"DROP TRIGGER {trigger}")
    for statement in statements:
        raw.execute(statement)
    raw.commit()
    raw.close()


def forge(path: Path, change: Callable[[AuditEntry], dict[str, object] | None], rows: list[AuditEntry]) -> None:
    """Write every row anew with `change` made (None: the row is gone), all numbers and hashes as they should be."""
    previous, values = "0" * 64, []
    for row in rows:
        changed = change(row)
        if changed is None:
            continue
        content = {
            "number": len(values) + 1,
            "at": row.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "event": row.event,
            "series_instance_uid": row.series_instance_uid,
            "actor": row.actor,
            "detail": row.detail,
            "previous_hash": previous,
            **changed,
        }
        previous = sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        detail = json.dumps(content["detail"], sort_keys=True, separators=(",", ":"))
        values.append({**content, "detail": detail, "hash": previous})
    tamper(path, "DELETE FROM audit")
    raw = sqlite3.connect(path)
    raw.executemany(
        "INSERT INTO audit VALUES (:number, :at, :event, :series_instance_uid, :actor, :detail, :previous_hash, :hash)",
        values,
    )
    raw.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'audit'", (len(values),))
    raw.commit()
    raw.close()
