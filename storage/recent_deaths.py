"""How often processes of the node have died of late, as the audit log tells."""

from datetime import datetime

from sqlalchemy import Connection, func, select

from storage.database import Database
from storage.schema import audit, time_text


def recent_deaths(db: Database, since: datetime) -> dict[str, int]:
    """Times that each process died by itself; only those that did."""
    process = func.json_extract(audit.c.detail, "$.process")
    with db.read() as connection:
        new = audit.c.number > _newest_before(connection, since)
        query = select(process, func.count()).where(new, audit.c.event == "process-died").group_by(process)
        return {str(name): count for name, count in connection.execute(query.order_by(process)).all()}


def _newest_before(connection: Connection, since: datetime) -> int:
    """Found from the end of the log, of which most is older."""
    older = select(audit.c.number).where(audit.c.at < time_text(since)).order_by(audit.c.number.desc()).limit(1)
    return connection.execute(older).scalar_one_or_none() or 0
