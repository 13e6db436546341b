"""Images that came again after a backup with other content, as of a patient whose data were corrected.

The database of the backup knows the bytes that lay under their names before, and were deleted since. A file that is
newer than the backup, and says of itself that it is the instance of that name, is no damaged one: its old row gives
way, and it is registered as a start registers what it finds.
"""

from datetime import UTC, datetime

from sqlalchemy import Connection, select

from dicom_node.doctor.examination import Examination
from dicom_node.frames import DAMAGED
from dicom_node.instance_identity import UnreadableDataSet
from dicom_node.receiver.reconcile import read_spooled
from storage.database import Database
from storage.losses import mark_lost_images
from storage.moves import change_series
from storage.rows import InstanceRow
from storage.schema import instances, series
from storage.series import require_series
from storage.spool import Spool

WHY = "came again after the backup with other content"


def give_way(db: Database, examination: Examination, made_at: datetime) -> int:
    """Mark rows as deleted whose files came again after the backup, with other content; how many.

    The files have no row then, until they are registered.
    """
    concerned = _came_again(db, examination, made_at)
    for uid, paths in concerned.items():
        with db.transaction() as connection:
            row = require_series(connection, uid)
            mark_lost_images(connection, row, paths, WHY, examination.actor, examination.clock())
            _look_for_conflicts(connection, uid)
    return sum(map(len, concerned.values()))


def _came_again(db: Database, examination: Examination, made_at: datetime) -> dict[str, list[str]]:
    """Paths by Series Instance UID. What lies beside another under its UID has its own digest in its name."""
    query = select(instances, series.c.series_instance_uid).join(series, series.c.id == instances.c.series_id)
    there = instances.c.purged_at.is_(None) & instances.c.conflict.is_(False)
    with db.read() as connection:
        rows = connection.execute(query.where(there).order_by(instances.c.id)).all()
    found: dict[str, list[str]] = {}
    for number, row in enumerate(rows):
        examination.progress("images", number, len(rows))
        values = row._asdict()
        uid = values.pop("series_instance_uid")
        if _is_another(InstanceRow(**values), uid, examination, made_at):
            found.setdefault(uid, []).append(row.path)
    return found


def _is_another(row: InstanceRow, uid: str, examination: Examination, made_at: datetime) -> bool:
    file, tags = Spool(examination.folders.spool).absolute(row.path), examination.announced_count_tags
    try:
        if datetime.fromtimestamp(file.stat().st_mtime, UTC) < made_at:
            return False
        there = read_spooled(file, row.path, tags)
    except (UnreadableDataSet, OSError, *DAMAGED):
        return False
    same = (there.series_instance_uid, there.sop_instance_uid) == (uid, row.sop_instance_uid)
    return same and there.sha256 != row.sha256


def _look_for_conflicts(connection: Connection, uid: str) -> None:
    """Those that gave way may have been in conflict with others, which are not here any more either."""
    row = require_series(connection, uid)
    here = (instances.c.series_id == row.id) & instances.c.purged_at.is_(None) & instances.c.conflict.is_(True)
    in_conflict = connection.execute(select(instances.c.id).where(here).limit(1)).first() is not None
    change_series(connection, row, conflicting=in_conflict)
