"""`dicom-node retry` and `reanalyse`: failed series get another set of tries, ended ones another analysis."""

import json

from dicom_node.clock import system_clock
from dicom_node.commands.accounts import calling_account
from dicom_node.commands.node_database import open_node_database
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.settings import Settings
from storage.forwarding import bring_forward
from storage.jobs import retry
from storage.reanalysis import reanalyse


def retry_series(settings: Settings, series_instance_uid: str | None, *, as_json: bool) -> None:
    """Put one failed series, or all (None), back into the state in which it failed; audited with the user.

    What has not failed, and waits for its next try, is tried now.
    """
    db = open_node_database(settings)
    waited = bring_forward(db, series_instance_uid, calling_account(), system_clock())
    moved = retry(db, series_instance_uid, calling_account(), system_clock())
    if series_instance_uid is not None and not moved and not waited:
        raise NodeError(
            f"no failed series {series_instance_uid}, and none of it that waits for another try",
            where=str(Folders(settings.storage.folder).database),
            advice="`dicom-node status --state failed` lists those that have failed",
        )
    if as_json:
        print(json.dumps({"retried": moved, "brought_forward": waited}))
        return
    lines = [*(f"retried {uid}" for uid in moved), *(f"brought forward {uid}" for uid in waited)]
    print("\n".join(lines) or "nothing has failed, and nothing waits for another try")


def reanalyse_series(settings: Settings, series_instance_uid: str, *, as_json: bool) -> None:
    """Have a series that has ended analysed again as its next revision; audited with the user."""
    db = open_node_database(settings)
    revision = reanalyse(db, series_instance_uid, calling_account(), system_clock())
    if as_json:
        print(json.dumps({"series_instance_uid": series_instance_uid, "revision": revision}))
    else:
        print(f"{series_instance_uid} is analysed again, as revision {revision}")
