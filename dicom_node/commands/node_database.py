"""The database of a node that has run: what the commands look at, and never make themselves."""

import os

from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.lost_database import refuse_lost_database
from dicom_node.settings import Settings
from storage.database import Database, open_database


def open_node_database(settings: Settings) -> Database:
    """The database below `storage.folder`.

    Raises:
        NodeError: there is none, as where the settings name another folder than the node's, or this account
            may not use it. An empty database made here would look like a node without series.
    """
    path = Folders(settings.storage.folder).database
    try:
        empty = path.stat().st_size == 0
    except PermissionError as error:
        raise _forbidden(path.parent) from error
    except OSError as error:
        raise NodeError(
            "no node has run in this folder",
            where=str(path.parent),
            advice="name the node's own settings with --config; storage.folder says where it works",
        ) from error
    if empty:
        refuse_lost_database(Folders(settings.storage.folder))
    if not os.access(path, os.R_OK | os.W_OK):
        raise _forbidden(path)
    return open_database(path)


def _forbidden(path: os.PathLike[str]) -> NodeError:
    return NodeError(
        "this account may not read it",
        where=str(path),
        advice="run the command as the account that runs the node (sudo -u)",
    )
