"""The database of a node that has run: what the commands look at, and never make themselves."""

import os
from pathlib import Path

from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.lost_database import refuse_lost_database
from dicom_node.node_account import refuse_other_account
from dicom_node.settings import Settings
from storage.database import Database, open_as_it_is


def open_node_database(settings: Settings, *, older: bool = False) -> Database:
    """The database below `storage.folder`, as it is. `older`: also where an older version made it.

    Raises:
        NodeError: there is none, as where the settings name another folder than the node's, or this account
            may not use it. An empty database made here would look like a node without series.
        StorageError: another version of the node made it; only `serve` brings a database up to date.
    """
    path = Folders(settings.storage.folder).database
    try:
        refuse_other_account(path.parent, "writes")
        empty = path.stat().st_size == 0
    except PermissionError as error:
        raise _forbidden(path.parent) from error
    except OSError as error:
        raise _no_node(path.parent) from error
    if empty:
        refuse_lost_database(Folders(settings.storage.folder))
        raise _no_node(path.parent)
    if not os.access(path, os.R_OK | os.W_OK):
        raise _forbidden(path)
    return open_as_it_is(path, older=older)


def _no_node(folder: Path) -> NodeError:
    return NodeError(
        "no node has run in this folder",
        where=str(folder),
        advice="name the node's own settings with --config; storage.folder says where it works",
    )


def _forbidden(path: Path) -> NodeError:
    return NodeError(
        "this account may not read it",
        where=str(path),
        advice="run the command as the account that runs the node (sudo -u)",
    )
