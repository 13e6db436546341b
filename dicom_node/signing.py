"""The node's signature on what an auditor takes away: Ed25519 (RFC 8032), with a key that the node makes for itself.

A signature shows that a head was signed by this node and not changed since. Whoever can read the private key can sign
too: what counts is the head that was taken away before.
"""

from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from dicom_node.errors import NodeError
from dicom_node.tls_files import PRIVATE
from storage.durable import create_durable
from storage.errors import explained_os_errors


class SigningKeyError(NodeError):
    """A key cannot be used, as where another account may read it, or the file holds something else."""


def make_signing_key(path: Path) -> None:
    """Make the private key in `path` (PKCS 8, PEM, mode 0600) where there is none. Raises StorageError."""
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        create_durable(path, pem)  # where another process was quicker, its key stays


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The private key in `path`; made where there is none yet.

    Raises:
        SigningKeyError: another account may read it, or it is no Ed25519 key.
        StorageError: it cannot be read or made.
    """
    make_signing_key(path)
    with explained_os_errors(path):
        pem, mode = path.read_bytes(), path.stat().st_mode
    if mode & PRIVATE:
        advice = f"chmod 600 {path}; if somebody else may have read it, tell the auditors and let a new one be made"
        raise SigningKeyError("other accounts may use the signing key", where=str(path), advice=advice)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise _no_key(path, "private") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "private")
    return key


def public_pem(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """The public key as PEM (RFC 8410), which OpenSSL reads too."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(key: Ed25519PrivateKey | Ed25519PublicKey) -> str:
    """SHA-256, in hexadecimal, of the 32 bytes of the public key: to be compared over the telephone."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return sha256(public.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The public key in `path`. Raises SigningKeyError where it cannot be read or is none."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        what = f"the public key cannot be read ({error.strerror})"
        raise SigningKeyError(what, where=str(path), advice="`dicom-node audit key` prints it") from error
    except ValueError as error:
        raise _no_key(path, "public") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(path, "public")
    return key


def is_signed(data: bytes, signature: bytes, key: Ed25519PublicKey) -> bool:
    """Whether the signature is that of the key over exactly these bytes."""
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _no_key(path: Path, kind: str) -> SigningKeyError:
    advice = (
        "restore it from a backup" if kind == "private" else "`dicom-node audit key` prints that of a node"
    )
    return SigningKeyError(f"this is no {kind} Ed25519 key in PEM", where=str(path), advice=advice)
