"""DICOM unique identifiers: validation and derivation (PS3.5 section 9, B.2)."""

import hashlib
import re
import uuid
from collections.abc import Iterable

MAXIMUM_UID_LENGTH = 64  # PS3.5 section 9.1
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")


def is_valid_uid(text: str) -> bool:
    """Whether `text` is a UID as PS3.5 section 9.1 allows it: digits and dots, 64 characters."""
    return len(text) <= MAXIMUM_UID_LENGTH and _UID.fullmatch(text) is not None


def derive_uid(*parts: str) -> str:
    """The UID that belongs to these parts: the same parts always give the same UID (PS3.5 B.2).

    128 bits of SHA-256 over the length-prefixed parts, marked as a version 8 UUID (RFC 9562) under 2.25.
    """
    digest = bytearray(_digest(parts)[:16])
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return f"2.25.{int.from_bytes(digest, 'big')}"


def random_uid() -> str:
    """A UID that nobody can guess (PS3.5 B.2): what names it has been told it."""
    return f"2.25.{uuid.uuid4().int}"


def digest_of_instances(instances: Iterable[tuple[str, str]]) -> str:
    """What tells one revision of a series from another: a digest of its instances, each a UID and a SHA-256.

    The bytes, because images that were deleted here may come again with other content under the same UIDs.
    """
    return _digest(part for instance in sorted(instances) for part in instance).hex()[:32]


def analysis_fingerprint(**parameters: object) -> str:
    """A digest of everything that decides a result beside the images: weights, step, threshold, version."""
    return _digest(f"{name}={parameters[name]!r}" for name in sorted(parameters)).hex()[:32]


def _digest(parts: Iterable[str]) -> bytes:
    hasher = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        hasher.update(len(encoded).to_bytes(8, "big") + encoded)
    return hasher.digest()
