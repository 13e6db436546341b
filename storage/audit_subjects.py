"""What an audit row is about: the study and the objects, for whoever tells others of the row."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select

from storage.database import Database
from storage.schema import deliveries, instances, results, series
from storage.series import find_series

SOME = 3


@dataclass(frozen=True)
class SeriesSubject:
    """A series as it was received: `received` has the number of instances by SOP Class UID.

    image_paths, result_paths: some files, below the spool and the folder of results; they may be gone.
    """

    series_instance_uid: str
    study_instance_uid: str
    received: Mapping[str, int]
    image_paths: tuple[str, ...]
    result_paths: tuple[str, ...]


def describe_series(db: Database, series_instance_uid: str, revision: int) -> SeriesSubject | None:
    """The series as it was at this revision; None of one that the database does not know."""
    mine = (instances.c.series_id == series.c.id, series.c.series_instance_uid == series_instance_uid)
    counted = (
        select(instances.c.sop_class_uid, func.count())
        .where(*mine, instances.c.revision <= revision, instances.c.conflict.is_(False))
        .group_by(instances.c.sop_class_uid)
    )
    with db.read() as connection:
        row = find_series(connection, series_instance_uid)
        if row is None:
            return None
        received = {str(row[0]): int(row[1]) for row in connection.execute(counted)}
        images = select(instances.c.path).where(*mine).order_by(instances.c.id).limit(SOME)
        made = (
            select(results.c.path)
            .where(results.c.series_id == row.id)
            .order_by(results.c.id.desc())
            .limit(SOME)
        )
        return SeriesSubject(
            series_instance_uid=series_instance_uid,
            study_instance_uid=row.study_instance_uid,
            received=received,
            image_paths=tuple(connection.execute(images).scalars()),
            result_paths=tuple(connection.execute(made).scalars()),
        )


def results_by_class(
    db: Database, series_instance_uid: str, revision: int, roles: set[str] | None
) -> dict[str, int]:
    """SOP Class UID -> number of results of a revision that have one of `roles` (None: any)."""
    query = (
        select(results.c.sop_class_uid, func.count())
        .join(series, series.c.id == results.c.series_id)
        .where(series.c.series_instance_uid == series_instance_uid, results.c.revision == revision)
        .group_by(results.c.sop_class_uid)
    )
    if roles is not None:
        query = query.where(results.c.role.in_(roles))
    with db.read() as connection:
        return {str(row[0]): int(row[1]) for row in connection.execute(query)}


def delivery_roles(
    db: Database, series_instance_uid: str, revision: int, destination: str
) -> set[str] | None:
    """The roles of the results that a delivery holds; None where it holds all, or is not known."""
    query = (
        select(deliveries.c.roles)
        .join(series, series.c.id == deliveries.c.series_id)
        .where(
            series.c.series_instance_uid == series_instance_uid,
            deliveries.c.revision == revision,
            deliveries.c.destination == destination,
        )
    )
    with db.read() as connection:
        roles = connection.execute(query).scalars().first()
    return None if roles is None else set(roles)
