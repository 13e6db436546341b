"""The account that the storage folder belongs to: files that another one makes there, the node could not use."""

import os
from pathlib import Path

from dicom_node.errors import NodeError


def refuse_other_account(root: Path, done: str) -> None:
    """Raise NodeError where the storage folder is there and belongs to another account, root's own calls included.

    done: what this account would do there, such as "restores".
    """
    if root.exists() and root.stat().st_uid != os.getuid():
        what = f"it belongs to another account, which could not use what this one {done}"
        advice = "run the command as the account that runs the node (sudo -u)"
        raise NodeError(what, where=str(root), advice=advice)
