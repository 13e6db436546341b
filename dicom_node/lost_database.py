"""A storage folder whose database is gone: a node that started there would know nothing of what it has received."""

from collections.abc import Iterator
from pathlib import Path

from dicom_node.errors import NodeError
from dicom_node.folders import Folders

ADVICE = (
    "an empty one would forget every series and the audit log: `dicom-node restore` a backup into an empty folder, or "
    "let `dicom-node doctor --repair` make a new one from the images and results that are here"
)


def refuse_lost_database(folders: Folders) -> None:
    """Raise NodeError where there is no database, or an empty file, and images, findings or results are there."""
    database = folders.database
    if database.exists() and database.stat().st_size > 0:
        return
    if any(files_of_a_node(folders)):
        what = "is empty" if database.exists() else "is not there"
        raise NodeError(f"the database {what}, and images or results are", where=str(database), advice=ADVICE)


def files_of_a_node(folders: Folders) -> Iterator[Path]:
    """Images, findings and results that are there."""
    for folder in (folders.spool, folders.findings, folders.results):
        yield from (path for path in folder.rglob("*") if path.is_file())
