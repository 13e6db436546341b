"""Patients by a keyed hash."""

from hashlib import sha256
from hmac import new as hmac
from pathlib import Path

from dicom_node.patients import UNKNOWN, hash_patient, patient_key, patient_of

KEY = b"k" * 32


def test_the_hash_of_a_patient(tmp_path: Path) -> None:
    assert hash_patient(" TEST ", KEY) == hmac(KEY, b"TEST", sha256).hexdigest()
    assert hash_patient("TEST", b"another key") != hash_patient("TEST", KEY)
    assert hash_patient("  ", KEY) == UNKNOWN
    assert patient_of([tmp_path / "gone.dcm"], KEY) == UNKNOWN
    (tmp_path / "bad.dcm").write_bytes(b"no DICOM")
    assert patient_of([tmp_path / "bad.dcm"], KEY) == UNKNOWN


def test_the_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "node" / "patient-hash.key"
    key = patient_key(file)
    assert len(key) == 32
    assert patient_key(file) == key
    assert file.stat().st_mode & 0o777 == 0o600
    assert patient_key(tmp_path / "other.key") != key
