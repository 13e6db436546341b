"""A patient as the audit log and audit messages name one: by a keyed hash of the Patient ID, never by name."""

import hmac
import secrets
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from pydicom import Dataset

from dicom_node.dicom_file import read_file
from dicom_node.errors import NodeError
from dicom_node.folders import Folders
from dicom_node.frames import DAMAGED
from dicom_node.legible import is_legible
from storage.database import Database
from storage.durable import create_durable
from storage.errors import explained_os_errors
from storage.series import instance_paths
from storage.spool import Spool

KEY_BYTES = 32
UNKNOWN = "unknown"
DECISIONS = ("series-accepted", "series-refused", "series-abandoned")  # audit rows that bear the hash of the patient
FILES_ASKED = 3  # for the Patient ID; one that can be read is enough


def make_patient_key(path: Path) -> None:
    """Make the secret in `path` (mode 0600) where there is none. Raises StorageError."""
    if not path.exists():
        create_durable(path, secrets.token_bytes(KEY_BYTES))


def patient_key(path: Path) -> bytes:
    """The secret in `path`, made where there is none. Raises StorageError."""
    make_patient_key(path)
    with explained_os_errors(path):
        return path.read_bytes()


def hash_patient(patient_id: str, key: bytes) -> str:
    """HMAC-SHA-256, in hexadecimal, of the Patient ID (0010,0020) without spaces around it; "unknown" of an empty one.

    The same patient has the same hash in each row and message of this node; nobody without the key can try numbers out.
    """
    stripped = patient_id.strip()
    return hmac.new(key, stripped.encode("utf-8"), sha256).hexdigest() if stripped else UNKNOWN


def patient_of(files: Iterable[Path], key: bytes) -> str:
    """The hash of the patient in the first of the files that can be read; "unknown" where none can."""
    for file in files:
        try:
            return _hash_in(read_file(file, with_pixels=False), key)
        except (OSError, NodeError):  # deleted since, or damaged
            continue
    return UNKNOWN


def patient_of_series(db: Database, folders: Folders, series_id: int) -> str:
    """The same of a series, for its audit rows: only who knows the Patient ID and has the key can tell whose it is."""
    spool = Spool(folders.spool)
    files = [spool.absolute(row.path) for row in instance_paths(db, series_id)[:FILES_ASKED]]
    return patient_of(files, patient_key(folders.patient_key))


def _hash_in(header: Dataset, key: bytes) -> str:
    """Of a Patient ID that is no text it is not known whose it is: neither a number that its bytes happen to make, nor
    the patient of the next image, which may be another one."""
    try:
        return hash_patient(str(header.get("PatientID") or ""), key) if is_legible(header, "PatientID") else UNKNOWN
    except DAMAGED:
        return UNKNOWN
