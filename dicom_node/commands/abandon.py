"""`dicom-node abandon`: the administrator gives up on a series that has failed, or on a destination that is gone."""

import json
from dataclasses import asdict, replace

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
from storage.outbox import newest_deliveries
from storage.overview import overview
from storage.series import get_series
from storage.states import ENDED_WELL_STATES, SeriesState

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
    giving_up = GivingUp(
        calling_account(),
        system_clock(),
        _checked(because),
        refusal_code=Reason.ABANDONED,
        conflict_code=Reason.CONFLICTING_INSTANCES,
    )
    if destination is not None:
        _check_known(db, settings, destination)
        done = abandon_destination(db, destination, series_instance_uid, giving_up, dry_run=dry_run)
    else:
        assert series_instance_uid is not None
        whose = patient_of_series(db, Folders(settings.storage.folder), get_series(db, series_instance_uid).id)
        known = replace(giving_up, known={"patient_hash": whose})
        done = abandon_series(db, series_instance_uid, known, dry_run=dry_run)
    if not done and series_instance_uid is not None:
        raise _nothing_to_abandon(db, settings, series_instance_uid, destination)
    if as_json:
        given_up = [{**asdict(one), "nobody_has_results": _nobody_has(db, one)} for one in done]
        print(json.dumps({"dry_run": dry_run, "abandoned": given_up}))
        return
    lines = [_line(one, nobody_has=_nobody_has(db, one), dry_run=dry_run) for one in done]
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
    """Whether the series ends without results, or a report, at any destination."""
    row = get_series(db, one.series_instance_uid)
    return one.state in ENDED_WELL_STATES and not any(delivery.taken for delivery in newest_deliveries(db, row))


def _line(one: Abandoned, *, nobody_has: bool, dry_run: bool) -> str:
    what, stands, ends = ("would be abandoned", "would be", "would end") if dry_run else ("abandoned", "is", "ends")
    to = f" to {', '.join(one.destinations)}" if one.destinations else ""
    alone = ", and nobody has its results" if nobody_has else ""
    state = one.state.lower().replace("_", " ")
    if one.state == SeriesState.REFUSED:
        state = f"refused, and {ends} as not analysed"
    return printable(f"{what}: {one.series_instance_uid}{to}; the series {stands} {state}{alone}")
