"""`dicom-node backup`: a consistent copy, while the node runs."""

import json
from contextlib import closing
from pathlib import Path

from rich.console import Console

from dicom_node.clock import system_clock
from dicom_node.commands.accounts import calling_account
from dicom_node.commands.node_database import open_node_database
from dicom_node.folders import Folders
from dicom_node.retention import stores_of
from dicom_node.settings import Settings
from storage.backup import back_up

MIB = 1024**2


def back_up_node(settings: Settings, target: Path, *, with_images: bool, as_json: bool) -> bool:
    """Copy database, results, findings, keys and images to the new folder `target`, with a manifest.

    A database of an older version is copied as it is: the backup before an upgrade. Whether every file that a row
    names was there.
    """
    folders, db = Folders(settings.storage.folder), open_node_database(settings, older=True)
    keys = (folders.signing_key, folders.patient_key, folders.atna_cursor)
    with closing(db), Console(stderr=True).status("copying") as shown:
        manifest = back_up(
            db,
            stores_of(folders),
            target,
            keys,
            all_images=with_images,
            actor=calling_account(),
            now=system_clock(),
            progress=lambda done, total: shown.update(f"copying {done}/{total}"),
        )
    if as_json:
        said = {"target": str(target), "files": len(manifest.files), "bytes": manifest.bytes}
        print(json.dumps({**said, "audit_hash": manifest.audit_hash, "missing": manifest.missing}))
        return not manifest.missing
    print(f"{len(manifest.files)} files, {manifest.bytes / MIB:.1f} MiB, are in {target}, as of {manifest.created_at}")
    print(f"audit log: {manifest.audit_rows} rows, last hash {manifest.audit_hash}")
    for name in manifest.missing:
        print(f"NOT THERE, though a row names it: {name}; look at `dicom-node doctor`")
    print("the backup holds patients' data and the node's keys: keep it as you keep the storage folder")
    return not manifest.missing
