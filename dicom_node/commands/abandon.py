"""`dicom-node abandon`: the administrator gives up on a series that has failed, or on a destination that is gone."""

import json
from dataclasses import asdict

from dicom_node.clock import system_clock
from dicom_node.commands.accounts import calling_account
from dicom_node.commands.node_database import open_node_database
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.patients import patient_of_series
from dicom_node.printable import printable
from dicom_node.reasons import Reason
from dicom_node.settings import Settings
from storage.abandoning import Abandoned, GivingUp, abandon_destination, abandon_series
from storage.database import Database
from storage.outbox import deliveries
from storage.overview import overview
from storage.series import get_series
from storage.states import ENDED_WELL_STATES, DeliveryState, SeriesState

LONGEST_BECAUSE = 300
"""Characters: a sentence or two for the audit log."""


def abandon(
    settings: Settings,
    series_instance_uid: str | None,
    destination: str | None,
    because: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Give up on a failed series, or on what one destination (of one series, or of all) is still to get; audited."""
    db = open_node_database(settings)
    known = {}
    if series_instance_uid is not None:
        row = get_series(db, series_instance_uid)
        known["patient_hash"] = patient_of_series(db, Folders(settings.storage.folder), row.id)
    codes = Reason.ABANDONED, Reason.CONFLICTING_INSTANCES
    giving_up = GivingUp(calling_account(), system_clock(), _checked(because), *codes, known)
    if destination is not None:
        _check_known(db, settings, destination)
    if destination is not None:
        done = abandon_destination(db, destination, series_instance_uid, giving_up, dry_run=dry_run)
    else:
        assert series_instance_uid is not None
        done = abandon_series(db, series_instance_uid, giving_up, dry_run=dry_run)
    if not done and series_instance_uid is not None:
        raise _nothing_to_abandon(db, settings, series_instance_uid, destination)
    if as_json:
        print(json.dumps({"dry_run": dry_run, "abandoned": [asdict(one) for one in done]}))
        return
    mode = "would be abandoned" if dry_run else "abandoned"
    lines = [_line(one, mode, nobody_has=_nobody_has(db, one)) for one in done]
    print("\n".join(lines) or f"nothing is waiting for {destination}, and nothing failed")


def _checked(because: str) -> str:
    words = because.strip()
    if words and len(words) <= LONGEST_BECAUSE and printable(words) == words:
        return words
    raise NodeError(
        "the reason is empty, longer than it may be, or holds characters that cannot be printed",
        where="--because",
        advice=f"a sentence of at most {LONGEST_BECAUSE} characters, without anything that names a patient",
    )


def _check_known(db: Database, settings: Settings, destination: str) -> None:
    """A destination that was removed from the settings still has its deliveries; a mistyped name has none."""
    configured = {one.name for one in settings.destinations}
    known = configured | {one.destination for one in overview(db).destinations}
    if destination not in known:
        raise NodeError(
            f"there is no destination {destination!r}, and nothing was ever queued for one of that name",
            where="--destination",
            advice=f"known are {', '.join(sorted(known)) or 'none'}",
        )


def _nothing_to_abandon(
    db: Database, settings: Settings, series_instance_uid: str, destination: str | None
) -> NodeError:
    where = str(Folders(settings.storage.folder).database)
    if destination:
        return NodeError(
            f"nothing of series {series_instance_uid} has failed, or waits, for {destination}",
            where=where,
            advice="`dicom-node status --state failed` and `--state delivering` list what has failed, or waits",
        )
    if get_series(db, series_instance_uid).state == SeriesState.DELIVERING:
        return NodeError(
            f"series {series_instance_uid} is still being delivered",
            where=where,
            advice="give up on one destination with --destination NAME, or wait until its tries are used up",
        )
    return NodeError(
        f"series {series_instance_uid} has not failed",
        where=where,
        advice="`dicom-node status --state failed` lists those that have",
    )


def _nobody_has(db: Database, one: Abandoned) -> bool:
    """Whether the series ends without results at any destination."""
    row = get_series(db, one.series_instance_uid)
    rows = [delivery for delivery in deliveries(db, row.id) if delivery.revision == row.revision]
    taken = any(delivery.state == DeliveryState.DELIVERED for delivery in rows)
    return one.state in ENDED_WELL_STATES and not taken


def _line(one: Abandoned, mode: str, *, nobody_has: bool) -> str:
    what = f" to {', '.join(one.destinations)}" if one.destinations else ""
    alone = ", and nobody has its results" if nobody_has else ""
    stands = "would be" if mode.startswith("would") else "is"
    state = _standing(one.state, "would end" if mode.startswith("would") else "ends")
    return printable(f"{mode}: {one.series_instance_uid}{what}; the series {stands} {state}{alone}")


def _standing(state: SeriesState, ends: str) -> str:
    if state == SeriesState.REFUSED:
        return f"refused, and {ends} as not analysed"
    return state.lower().replace("_", " ")
