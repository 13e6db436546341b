"""Results that lie on the disk and that a rebuilt database does not know get their rows again.

So an analysis that is repeated finds its own results, which keep their UIDs and bytes, and one that differs names them
as replaced. Whether a destination had them is not known any more; they count as sent and withdrawn.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from pydicom import dcmread
from sqlalchemy import Connection, insert, select

from dicom_node.frames import DAMAGED
from storage.database import Database
from storage.moves import change_series, note
from storage.reception import begin_revision
from storage.rows import ResultObject, SeriesRow, series_row
from storage.schema import deliveries, results, series
from storage.series import require_series
from storage.spool import series_folder
from storage.states import DeliveryState, SeriesState

ACTOR = "doctor"
UNKNOWN = "the database was rebuilt: whether this was sent is not known"


def adopt_results(db: Database, root: Path, destinations: Sequence[str], now: datetime) -> int:
    """Register result files below `root` that have no row, of series that have one; how many files there were.

    A series goes on with the revision after the newest that has results.
    """
    adopted = 0
    with db.transaction() as connection:
        known = set(connection.execute(select(results.c.path)).scalars())
        for row in [series_row(one) for one in connection.execute(select(series).order_by(series.c.id)).all()]:
            for revision, files in _revisions(root, row):
                objects = [one for file in files if (one := _read(root, file)) is not None and one.path not in known]
                if objects:
                    _adopt(connection, row, revision, objects, destinations, now)
                    adopted += len(objects)
    return adopted


def _revisions(root: Path, row: SeriesRow) -> Iterator[tuple[int, list[Path]]]:
    folders = [path for path in (root / series_folder(row.series_instance_uid)).glob("*") if path.name.isdigit()]
    for folder in sorted(folders, key=lambda path: int(path.name)):
        yield int(folder.name), sorted(folder.glob("*.dcm"))


def _read(root: Path, file: Path) -> ResultObject | None:
    try:
        header = dcmread(file, stop_before_pixels=True)
        data = file.read_bytes()
        uids = (str(header.SOPClassUID), str(header.SOPInstanceUID), str(header.SeriesInstanceUID))
    except (*DAMAGED, OSError):
        return None
    return ResultObject(file.stem, *uids, str(file.relative_to(root)), sha256(data).hexdigest(), len(data))


def _adopt(
    connection: Connection,
    row: SeriesRow,
    revision: int,
    objects: Sequence[ResultObject],
    destinations: Sequence[str],
    now: datetime,
) -> None:
    common = {"series_id": row.id, "revision": revision}
    connection.execute(insert(results), [{**asdict(one), **common, "created_at": now} for one in objects])
    roles = [one.role for one in objects]
    moments = {"created_at": now, "first_tried_at": now, "ended_at": now}
    sent = {"state": DeliveryState.WITHDRAWN, "attempts": 1, "last_error": UNKNOWN, **moments}
    if destinations:
        connection.execute(
            insert(deliveries), [{**common, **sent, "destination": name, "roles": roles} for name in destinations]
        )
    current = require_series(connection, row.series_instance_uid)
    if current.revision <= revision:
        if current.state != SeriesState.RECEIVING:
            begin_revision(connection, current, "series-reopened", {"why": "newer results"}, ACTOR, now)
        current = require_series(connection, row.series_instance_uid)
        change_series(connection, current, revision=revision + 1)
    note(connection, current, "results-adopted", {"of_revision": revision, "roles": roles}, actor=ACTOR, now=now)
