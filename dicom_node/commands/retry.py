"""`dicom-node retry`: failed series get another set of tries."""

import getpass
import json

from dicom_node.clock import system_clock
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.settings import Settings
from storage.database import open_database
from storage.jobs import retry


def retry_series(settings: Settings, series_instance_uid: str | None, *, as_json: bool) -> None:
    """Put one failed series, or all (None), back into the state in which they failed; audited with the user."""
    database = Folders(settings.storage.folder).database
    db = open_database(database)
    moved = retry(db, series_instance_uid, f"user:{getpass.getuser()}", system_clock())
    if series_instance_uid is not None and not moved:
        raise NodeError(
            f"no failed series {series_instance_uid}",
            where=str(database),
            advice="`dicom-node status` lists the failed ones",
        )
    if as_json:
        print(json.dumps({"retried": moved}))
    else:
        print("\n".join(f"retried {uid}" for uid in moved) or "nothing has failed")
