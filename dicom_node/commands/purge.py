"""`dicom-node purge`: what [retention] has deleted by now, or one ended series, now and visibly."""

import json
from contextlib import closing
from dataclasses import asdict
from typing import Any

from dicom_node.clock import system_clock
from dicom_node.commands.accounts import calling_account
from dicom_node.commands.node_database import open_node_database
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.printable import printable
from dicom_node.retention import carry_out, plan, stores_of
from dicom_node.settings import Settings
from storage.database import Database
from storage.deletion import finish_deletions
from storage.retention import Deletion, Kind, plan_one
from storage.series import get_series
from storage.states import ENDED_WELL_STATES

MIB = 1024**2


def purge_files(
    settings: Settings, series_instance_uid: str | None, *, with_results: bool, dry_run: bool, as_json: bool
) -> None:
    """Delete what is due in the order of `storage.retention`, or show it; audited with the user."""
    folders = Folders(settings.storage.folder)
    with closing(open_node_database(settings)) as db:
        if series_instance_uid is None:
            planned = plan(db, folders, settings, system_clock)
        else:
            planned = _of_one(db, series_instance_uid, with_results=with_results)
        done = [False] * len(planned)
        if not dry_run:
            finish_deletions(db, stores_of(folders), system_clock())
            done = [carry_out(db, folders, one, calling_account(), system_clock) for one in planned]
    _print(planned, done, dry_run=dry_run, as_json=as_json)


def _of_one(db: Database, series_instance_uid: str, *, with_results: bool) -> list[Deletion]:
    row = get_series(db, series_instance_uid)
    if row.state not in ENDED_WELL_STATES:
        raise NodeError(
            f"the series has not ended well ({row.state}); nothing of it is deleted",
            where=series_instance_uid,
            advice="wait until it has ended; where it has failed, `retry`, `reanalyse` or `abandon` it first",
        )
    planned = plan_one(db, series_instance_uid, {Kind.IMAGES, Kind.RESULTS} if with_results else {Kind.IMAGES})
    if not planned:
        raise NodeError("nothing of it is here any more", where=series_instance_uid)
    return planned


def _print(planned: list[Deletion], done: list[bool], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        rows = [_as_dict(one, deleted) for one, deleted in zip(planned, done, strict=True)]
        print(json.dumps({"dry_run": dry_run, "deletions": rows, "bytes": sum(one.bytes for one in planned)}, indent=2))
        return
    for one, deleted in zip(planned, done, strict=True):
        said = "would delete" if dry_run else "deleted" if deleted else "left, because it has changed"
        print(f"{said}  {one.kind:<7}  {_size(one)}  ended {one.ended_at:%Y-%m-%d %H:%M} UTC  {one.cause}")
        print(printable(f"    {one.series_instance_uid}"))
    counted = [one for one, deleted in zip(planned, done, strict=True) if deleted or dry_run]
    total = sum(one.bytes for one in counted) / MIB
    print(f"{'would delete' if dry_run else 'deleted'}: {len(counted)} of {len(planned)}, {total:.1f} MiB")


def _size(one: Deletion) -> str:
    return f"{one.bytes / MIB:>8.1f} MiB in {one.files} files"


def _as_dict(one: Deletion, deleted: bool) -> dict[str, Any]:
    return {**asdict(one), "ended_at": one.ended_at.isoformat(), "deleted": deleted}
