"""Abandoning: somebody gives up on what has failed, or on a destination, and the node no longer waits for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from storage.database import Database
from storage.delivery_moves import (
    failed_among,
    move_delivery,
    move_series_on,
    newest_deliveries,
    read_deliveries,
    supersede,
    why_failed,
)
from storage.moves import change_series, end_series, note, refuse_series
from storage.rows import DeliveryRow, SeriesRow
from storage.schema import deliveries, series
from storage.series import require_series
from storage.states import OPEN_DELIVERY_STATES, DeliveryState, SeriesState

STAGES = {
    SeriesState.COMPLETE: "inspection",
    SeriesState.QUEUED: "analysis",
    SeriesState.ANALYSED: "encoding of the results",
}
"""What had failed, in words for the report."""


@dataclass(frozen=True)
class GivingUp:
    """Who gives up, when, and why: for the audit log alone, since the words are a person's.

    refusal_code: what a series that was never analysed is refused for; conflict_code: one of which instances came twice
    with other bytes, which is to be looked into whoever gave up. known: more for the audit row.
    """

    actor: str
    now: datetime
    because: str
    refusal_code: str
    conflict_code: str
    known: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Abandoned:
    """What was given up: the results for `destinations`, or the series as a whole where there are none.

    state: where the series stands now.
    """

    series_instance_uid: str
    destinations: tuple[str, ...]
    state: SeriesState


def abandon_series(
    db: Database, series_instance_uid: str, giving_up: GivingUp, *, dry_run: bool = False
) -> list[Abandoned]:
    """Close a series that has failed; the list is empty where it has not.

    One that was not analysed, or whose results could not be made, is refused, so that destinations are told; where that
    had failed, it ends without. One that could not be delivered everywhere ends with what was. Raises UnknownSeries.
    """
    with db.transaction(keep=not dry_run) as connection:
        row = require_series(connection, series_instance_uid)
        if row.state != SeriesState.FAILED:
            return []
        return [_abandon_series(connection, row, giving_up)]


def abandon_destination(
    db: Database,
    destination: str,
    series_instance_uid: str | None,
    giving_up: GivingUp,
    *,
    dry_run: bool = False,
) -> list[Abandoned]:
    """Send the newest results of one series, or of all (None), to this destination no more, failed ones too.

    A series that was waiting for nothing else ends.
    """
    with db.transaction(keep=not dry_run) as connection:
        found = _of_destination(connection, destination, series_instance_uid)
        return [_abandon_delivery(connection, row, giving_up) for row in found]


def _abandon_series(connection: Connection, row: SeriesRow, giving_up: GivingUp) -> Abandoned:
    uid = row.series_instance_uid
    destinations: tuple[str, ...] = ()
    said = {
        "from": row.failed_from,
        "reason": row.reason_code,
        "detail": row.reason_detail,
        "because": giving_up.because,
        **giving_up.known,
    }
    if row.failed_from == SeriesState.DELIVERING:
        failed = failed_among(newest_deliveries(connection, row))
        for one in failed:
            _withdraw(connection, one, giving_up)
        destinations = tuple(one.destination for one in failed)
    if row.failed_from in (SeriesState.REFUSED, SeriesState.DELIVERING):
        at = {"revision": row.revision, **said}
        note(connection, row, "series-abandoned", at, actor=giving_up.actor, now=giving_up.now)
        end_series(connection, row, actor=giving_up.actor, now=giving_up.now)
    else:
        _refuse(connection, row, said, giving_up)
    return Abandoned(uid, destinations, require_series(connection, uid).state)


def _refuse(connection: Connection, row: SeriesRow, said: Mapping[str, object], giving_up: GivingUp) -> None:
    """The detail reaches the PACS: a code, never the words of an error."""
    assert row.failed_from is not None, "a series that has failed was somewhere"
    code = giving_up.conflict_code if row.conflicting else giving_up.refusal_code
    refuse_series(
        connection,
        row,
        "series-abandoned",
        code,
        f"{STAGES[row.failed_from]} had failed: {row.reason_code}",
        {**said, "refused_as": code},
        actor=giving_up.actor,
        now=giving_up.now,
        lesion_count=None,
        weights_sha256=None,
    )


def _of_destination(connection: Connection, destination: str, series_instance_uid: str | None) -> list[DeliveryRow]:
    conditions = [
        deliveries.c.destination == destination,
        deliveries.c.revision == series.c.revision,
        deliveries.c.state.in_([*OPEN_DELIVERY_STATES, DeliveryState.FAILED]),
    ]
    if series_instance_uid is not None:
        conditions.append(series.c.series_instance_uid == series_instance_uid)
    return read_deliveries(connection, *conditions)


def _abandon_delivery(connection: Connection, delivery: DeliveryRow, giving_up: GivingUp) -> Abandoned:
    uid = delivery.series_instance_uid
    _withdraw(connection, delivery, giving_up)
    row = require_series(connection, uid)
    if row.state == SeriesState.FAILED:
        _settle_failed(connection, row, giving_up)
    else:
        move_series_on(connection, delivery, actor=giving_up.actor, now=giving_up.now)
    return Abandoned(uid, (delivery.destination,), require_series(connection, uid).state)


def _withdraw(connection: Connection, row: DeliveryRow, giving_up: GivingUp) -> None:
    """Its last error stays: why it was given up."""
    detail = {"state": row.state, "attempts": row.attempts, "last_error": row.last_error, "because": giving_up.because}
    to, event = DeliveryState.WITHDRAWN, "delivery-abandoned"
    move_delivery(connection, row, to, event, detail, actor=giving_up.actor, now=giving_up.now)
    supersede(connection, [row.id], giving_up.now)


def _settle_failed(connection: Connection, row: SeriesRow, giving_up: GivingUp) -> None:
    """It ends with the last delivery that had failed; until then its words name those that are left."""
    failed = failed_among(newest_deliveries(connection, row))
    if not failed:
        end_series(connection, row, actor=giving_up.actor, now=giving_up.now)
        return
    change_series(connection, row, reason_detail=why_failed(failed), last_error=why_failed(failed))
