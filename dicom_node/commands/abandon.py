"""`dicom-node abandon`: the administrator gives up on a series that has failed, or on a destination that is gone."""

import json
from dataclasses import asdict

from dicom_node.clock import system_clock
from dicom_node.commands.accounts import calling_account
from dicom_node.commands.node_database import open_node_database
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.printable import printable
from dicom_node.reasons import Reason
from dicom_node.settings import Settings
from storage.abandoning import Abandoned, GivingUp, abandon_destination, abandon_series
from storage.states import SeriesState

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
    giving_up = GivingUp(calling_account(), system_clock(), _checked(because), Reason.ABANDONED)
    if destination is not None:
        done = abandon_destination(db, destination, series_instance_uid, giving_up, dry_run=dry_run)
    else:
        assert series_instance_uid is not None
        done = abandon_series(db, series_instance_uid, giving_up, dry_run=dry_run)
    if not done and series_instance_uid is not None:
        raise _nothing_to_abandon(settings, series_instance_uid, destination)
    if as_json:
        print(json.dumps({"dry_run": dry_run, "abandoned": [asdict(one) for one in done]}))
        return
    mode = "would be abandoned" if dry_run else "abandoned"
    print("\n".join(_line(one, mode) for one in done) or f"nothing is waiting for {destination}, and nothing failed")


def _checked(because: str) -> str:
    words = because.strip()
    if words and len(words) <= LONGEST_BECAUSE and printable(words) == words:
        return words
    raise NodeError(
        "the reason is empty, longer than it may be, or holds characters that cannot be printed",
        where="--because",
        advice=f"a sentence of at most {LONGEST_BECAUSE} characters, without anything that names a patient",
    )


def _nothing_to_abandon(settings: Settings, series_instance_uid: str, destination: str | None) -> NodeError:
    what = f"has failed, or waits, for {destination}" if destination else "has failed"
    return NodeError(
        f"nothing of series {series_instance_uid} {what}",
        where=str(Folders(settings.storage.folder).database),
        advice="`dicom-node status --state failed` and `--state delivering` list what has failed, or waits",
    )


def _line(one: Abandoned, mode: str) -> str:
    what = f" to {', '.join(one.destinations)}" if one.destinations else ""
    return printable(f"{mode}: {one.series_instance_uid}{what}; the series is {_standing(one.state)}")


def _standing(state: SeriesState) -> str:
    if state == SeriesState.REFUSED:
        return "refused, and ends as not analysed"
    return state.lower().replace("_", " ")
