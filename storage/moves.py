"""Moving a series from state to state: the check of the move, the guard in SQL and the audit row, as one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, update

from storage.audit import append
from storage.errors import LostClaim
from storage.rows import SeriesRow
from storage.schema import series
from storage.states import Outcome, SeriesState, check_move

AT_REST: Mapping[str, Any] = {
    "lease_owner": None,
    "lease_expires_at": None,
    "not_before": None,
    "attempts": 0,
    "crashes": 0,
    "failed_from": None,
    "last_error": None,
}


def move_series(
    connection: Connection,
    row: SeriesRow,
    to: SeriesState,
    event: str,
    detail: Mapping[str, object],
    *,
    actor: str,
    now: datetime,
    **values: object,
) -> None:
    """Move the series that `row` was read from, set `values` beside, and append the audit row `event`.

    Raises:
        IllegalMove: storage.states does not have the move.
        LostClaim: the row is no longer in that state and revision, under that lease.
    """
    check_move(row.state, to)
    change_series(connection, row, **{**AT_REST, "state": to, **values})
    note(connection, row, event, detail, actor=actor, now=now)


def change_series(connection: Connection, row: SeriesRow, **values: object) -> None:
    """Change columns of the series that `row` was read from. Raises LostClaim where it has moved on."""
    changed = connection.execute(update(series).where(*_unchanged(row)).values(**values))
    if changed.rowcount != 1:
        raise LostClaim(f"series {row.series_instance_uid}")


def _unchanged(row: SeriesRow) -> tuple[ColumnElement[bool], ...]:
    return (
        series.c.id == row.id,
        series.c.state == row.state,
        series.c.revision == row.revision,
        series.c.lease_owner.is_not_distinct_from(row.lease_owner),
    )


def note(
    connection: Connection,
    row: SeriesRow,
    event: str,
    detail: Mapping[str, object],
    *,
    actor: str,
    now: datetime,
) -> None:
    """Append an audit row about a series; its revision is added to the detail."""
    said = {"revision": row.revision, **detail}
    append(connection, event, now, series_instance_uid=row.series_instance_uid, actor=actor, detail=said)


def fail_series(
    connection: Connection, row: SeriesRow, reason_code: str, reason_detail: str, *, actor: str, now: datetime
) -> None:
    """Set a series aside until somebody asks for a retry, which leads back to where it failed, or gives up."""
    move_series(
        connection,
        row,
        SeriesState.FAILED,
        "series-failed",
        {"from": row.state, "reason": reason_code, "detail": reason_detail, "attempts": row.attempts},
        actor=actor,
        now=now,
        failed_from=row.state,
        attempts=row.attempts,
        crashes=row.crashes,
        reason_code=reason_code,
        reason_detail=reason_detail,
        last_error=reason_detail,
    )


def refuse_series(
    connection: Connection,
    row: SeriesRow,
    event: str,
    reason_code: str,
    reason_detail: str,
    said: Mapping[str, object],
    *,
    actor: str,
    now: datetime,
    **values: object,
) -> None:
    """Decide that the series is not analysed, because; `said` is the detail of the audit row."""
    move_series(
        connection,
        row,
        SeriesState.REFUSED,
        event,
        said,
        actor=actor,
        now=now,
        outcome=Outcome.REFUSED,
        reason_code=reason_code,
        reason_detail=reason_detail,
        refusal_code=reason_code,
        refusal_detail=reason_detail,
        concluded_at=now,
        **values,
    )


def end_series(connection: Connection, row: SeriesRow, *, actor: str, now: datetime) -> None:
    """Close a series whose results have all been delivered, or that has none to deliver, or that was given up.

    What it may have failed for is not what it was refused for, if it was.
    """
    to, event = (
        (SeriesState.DONE, "series-done")
        if row.outcome == Outcome.ANALYSED
        else (SeriesState.NOT_ANALYSED, "series-not-analysed")
    )
    move_series(connection, row, to, event, {}, actor=actor, now=now, ended_at=now, **reason_of_refusal(row))


def reason_of_refusal(row: SeriesRow) -> dict[str, str | None]:
    """The columns that say why it was refused, if it was, in the place of why it failed."""
    return {"reason_code": row.refusal_code, "reason_detail": row.refusal_detail}
