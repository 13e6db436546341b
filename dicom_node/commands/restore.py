"""`dicom-node restore`: a backup becomes the storage folder of a node."""

import json
from pathlib import Path

from rich.console import Console

from dicom_node.clock import system_clock
from dicom_node.commands.accounts import calling_account
from dicom_node.folders import Folders
from dicom_node.node_account import refuse_other_account
from dicom_node.retention import stores_of
from dicom_node.settings import Settings
from storage.node_lock import NodeLock
from storage.restore import restore


def restore_node(settings: Settings, source: Path, *, as_json: bool) -> None:
    """Check every file of the backup and copy it to `storage.folder`, which must hold no node yet."""
    folders = Folders(settings.storage.folder)
    refuse_other_account(folders.root, "restores")
    with NodeLock(folders.root), Console(stderr=True).status("copying") as shown:
        manifest = restore(
            source,
            stores_of(folders),
            folders.database,
            actor=calling_account(),
            now=system_clock(),
            progress=lambda done, total: shown.update(f"copying {done}/{total}"),
        )
    if as_json:
        print(json.dumps({"files": len(manifest.files), "made_at": manifest.created_at}))
        return
    print(f"{len(manifest.files)} files of the backup of {manifest.created_at} are in {folders.root}")
    print("`dicom-node serve` goes on from there; what came in after the backup is to be sent again")
