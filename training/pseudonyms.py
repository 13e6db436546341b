"""Names that stand for patients, series and UIDs and that nobody can turn back who has not the key."""

import hmac
from pathlib import Path

from training.manifest import CasesError

LEAST_KEY_BYTES = 32
"""As many as SHA-256 gives (RFC 2104, section 3). Patient IDs are short: a key that can be guessed gives them away."""

PATIENT_DIGITS, CASE_DIGITS = 16, 12
"""Hexadecimal: 64 and 48 bits; among 100,000 patients two agree with a chance of 3 in 10,000 million."""

UID_BITS = 128
LONGEST_KEY_FILE = 4096


def read_key(path: Path) -> bytes:
    """The key that a file holds, blanks at its ends left out. Whoever has it can tell whose a case is: keep it apart.

    Raises CasesError where the file cannot be read or holds too little.
    """
    advice = "make one by: head -c 32 /dev/urandom | base64 > FILE"
    try:
        with path.open("rb") as file:
            key = file.read(LONGEST_KEY_FILE).strip()
    except OSError as problem:
        raise CasesError(path, [f"the key cannot be read ({problem.strerror}); {advice}"]) from problem
    if len(key) < LEAST_KEY_BYTES:
        raise CasesError(path, [f"the key has {len(key)} bytes, at least {LEAST_KEY_BYTES} are needed; {advice}"])
    return key


def patient_pseudonym(key: bytes, patient_id: str) -> str:
    """HMAC-SHA256 of the Patient ID, which must not be empty.

    Without its issuer: two patients of two hospitals who share a number then share a split, which does no harm; one
    patient under two names would be in two splits.
    """
    return "patient-" + _keyed(key, "patient", patient_id.strip()).hex()[:PATIENT_DIGITS]


def case_pseudonym(key: bytes, series_instance_uid: str) -> str:
    """A name for the case of a series; for the same series always the same."""
    return "case-" + _keyed(key, "case", series_instance_uid).hex()[:CASE_DIGITS]


def uid_pseudonym(key: bytes, uid: str) -> str:
    """A UID under 2.25 (PS3.5 B.2); the same for the same UID, so that references still point to what they did."""
    return f"2.25.{int.from_bytes(_keyed(key, 'uid', uid)[: UID_BITS // 8], 'big')}"


def _keyed(key: bytes, kind: str, text: str) -> bytes:
    return hmac.digest(key, f"{kind}\0{text}".encode(), "sha256")
