"""Retention: which images and results are to be deleted by now, in the order in which they go.

Only series that have ended well are looked at: DONE (every destination has all results) or NOT_ANALYSED. One that
waits, is worked on, is being delivered, or has failed (and may be tried again) is never deleted. The order:

1. images of DONE series whose results a destination has taken, where these are not wanted any longer;
2. images by age;
3. images by size: of all images together, and by the space that is to stay free on the disk;
4. results and findings, by their own age.

Within each of them the series that ended first goes first. Audit rows stay, and so do the rows of series, instances
and results.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, and_, exists, func, or_, select

from storage.database import Database
from storage.schema import deliveries, instances, results, series
from storage.states import ENDED_WELL_STATES, DeliveryState, SeriesState


class Kind(StrEnum):
    """What of a series is deleted."""

    IMAGES = "images"
    RESULTS = "results"  # and the findings


class Cause(StrEnum):
    """Why it is deleted."""

    DELIVERED = "delivered"
    AGE = "age"
    SIZE = "size"
    FREE_SPACE = "free-space"
    ASKED = "asked"


@dataclass(frozen=True)
class RetentionRules:
    """How long things are kept; None: for ever. Ages count from the end of a series.

    images_bytes: of all images in the spool together. free_bytes: what is to be free on the disk.
    """

    drop_delivered_images: bool = False
    images_age: timedelta | None = None
    images_bytes: int | None = None
    free_bytes: int | None = None
    results_age: timedelta | None = None


@dataclass(frozen=True)
class Deletion:
    """Something that is to be deleted; `bytes` without the findings, whose size the database does not know."""

    kind: Kind
    cause: Cause
    series_instance_uid: str
    state: SeriesState
    ended_at: datetime
    files: int
    bytes: int


@dataclass(frozen=True)
class _Candidate:
    """A series that has ended well, with the images of it that are here."""

    series_instance_uid: str
    state: SeriesState
    ended_at: datetime
    delivered: bool
    files: int
    bytes: int

    def deletion(self, cause: Cause) -> Deletion:
        return Deletion(
            Kind.IMAGES, cause, self.series_instance_uid, self.state, self.ended_at, self.files, self.bytes
        )


def plan_deletions(db: Database, rules: RetentionRules, free_bytes: int, now: datetime) -> list[Deletion]:
    """What `rules` have deleted at this moment, in order; nothing is changed. free_bytes: what is free on the disk."""
    with db.read() as connection:
        candidates = _ended_with_images(connection)
        all_images = connection.execute(
            select(func.coalesce(func.sum(instances.c.size), 0)).where(instances.c.purged_at.is_(None))
        ).scalar_one()
        of_results = list(_old_results(connection, rules, now))
    chosen: dict[str, Deletion] = {}
    if rules.drop_delivered_images:
        _choose(chosen, (one.deletion(Cause.DELIVERED) for one in candidates if one.delivered))
    _choose(chosen, (one.deletion(Cause.AGE) for one in candidates if _is_older(one.ended_at, rules.images_age, now)))
    if rules.images_bytes is not None:
        _make_room(chosen, candidates, Cause.SIZE, all_images - rules.images_bytes)
    if rules.free_bytes is not None:
        _make_room(chosen, candidates, Cause.FREE_SPACE, rules.free_bytes - free_bytes)
    return [*chosen.values(), *of_results]


def plan_one(db: Database, series_instance_uid: str, kinds: Iterable[Kind]) -> list[Deletion]:
    """The same for one series that somebody names; nothing where it has not ended well, or nothing of it is here."""
    with db.read() as connection:
        images = [one for one in _ended_with_images(connection) if one.series_instance_uid == series_instance_uid]
        of_results = list(_results_of(connection, series.c.series_instance_uid == series_instance_uid, Cause.ASKED))
    wanted = frozenset(kinds)
    return [
        *(one.deletion(Cause.ASKED) for one in images if Kind.IMAGES in wanted),
        *(one for one in of_results if Kind.RESULTS in wanted),
    ]


def _ended_with_images(connection: Connection) -> list[_Candidate]:
    """Oldest end first."""
    taken = exists().where(
        deliveries.c.series_id == series.c.id,
        deliveries.c.revision == series.c.revision,
        deliveries.c.state == DeliveryState.DELIVERED,
    )
    given_up = exists().where(
        deliveries.c.series_id == series.c.id,
        deliveries.c.revision == series.c.revision,
        deliveries.c.state == DeliveryState.WITHDRAWN,
    )
    query = (
        select(
            series.c.series_instance_uid,
            series.c.state,
            series.c.ended_at,
            and_(series.c.state == SeriesState.DONE, taken, ~given_up).label("delivered"),
            func.count().label("files"),
            func.sum(instances.c.size).label("bytes"),
        )
        .join(instances, and_(instances.c.series_id == series.c.id, instances.c.purged_at.is_(None)))
        .where(series.c.state.in_(ENDED_WELL_STATES), series.c.ended_at.is_not(None))
        .group_by(series.c.id)
        .order_by(series.c.ended_at, series.c.id)
    )
    return [_Candidate(**{**row._asdict(), "delivered": bool(row.delivered)}) for row in connection.execute(query)]


def _old_results(connection: Connection, rules: RetentionRules, now: datetime) -> Iterator[Deletion]:
    if rules.results_age is None:
        return
    yield from _results_of(connection, series.c.ended_at <= now - rules.results_age, Cause.AGE)


def _results_of(connection: Connection, condition: object, cause: Cause) -> Iterator[Deletion]:
    """Series with results or findings that were not deleted yet, oldest end first."""
    query = (
        select(
            series.c.series_instance_uid,
            series.c.state,
            series.c.ended_at,
            func.count(results.c.id).label("files"),
            func.coalesce(func.sum(results.c.size), 0).label("bytes"),
        )
        .outerjoin(results, and_(results.c.series_id == series.c.id, results.c.purged_at.is_(None)))
        .where(
            series.c.state.in_(ENDED_WELL_STATES),
            series.c.results_purged_at.is_(None),
            or_(results.c.id.is_not(None), series.c.findings_path.is_not(None)),
            condition,  # type: ignore[arg-type]
        )
        .group_by(series.c.id)
        .order_by(series.c.ended_at, series.c.id)
    )
    for row in connection.execute(query):
        yield Deletion(kind=Kind.RESULTS, cause=cause, **row._asdict())


def _choose(chosen: dict[str, Deletion], deletions: Iterable[Deletion]) -> None:
    """A series keeps the first cause that was found for it."""
    for one in deletions:
        chosen.setdefault(one.series_instance_uid, one)


def _make_room(chosen: dict[str, Deletion], candidates: list[_Candidate], cause: Cause, needed_bytes: int) -> None:
    """Choose as many further series, oldest first, as make `needed_bytes` together with what is chosen already."""
    missing = needed_bytes - sum(one.bytes for one in chosen.values())
    for candidate in candidates:
        if missing <= 0:
            return
        if candidate.series_instance_uid not in chosen:
            chosen[candidate.series_instance_uid] = candidate.deletion(cause)
            missing -= candidate.bytes


def _is_older(ended_at: datetime, age: timedelta | None, now: datetime) -> bool:
    return age is not None and ended_at <= now - age
