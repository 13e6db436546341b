"""Keys and signatures; what is signed here OpenSSL agrees with."""

import subprocess
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dicom_node.signing import (
    SigningKeyError,
    fingerprint,
    is_signed,
    public_pem,
    read_public_key,
    signing_key,
)
from tests.support.dicom_network import program


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "audit-signing.key"
    first = signing_key(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert public_pem(signing_key(file)) == public_pem(first)
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_of_two_that_make_a_key_at_once_both_get_the_same(tmp_path: Path) -> None:
    file, keys, gate = tmp_path / "audit-signing.key", [], threading.Barrier(8)

    def make() -> None:
        gate.wait()
        keys.append(public_pem(signing_key(file)))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1


def test_a_signature_holds_for_its_bytes_and_its_key_alone(tmp_path: Path) -> None:
    key, other = signing_key(tmp_path / "one.key"), signing_key(tmp_path / "other.key")
    signature = key.sign(b"head")
    assert is_signed(b"head", signature, key.public_key())
    assert not is_signed(b"heaD", signature, key.public_key())
    assert not is_signed(b"head", signature, other.public_key())
    assert not is_signed(b"head", signature[:-1] + bytes([signature[-1] ^ 1]), key.public_key())
    assert not is_signed(b"head", b"", key.public_key())


def test_rfc_8032_test_1() -> None:
    """RFC 8032 section 7.1, test 1: the library is the algorithm that the documents name."""
    key = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert fingerprint(key) == sha256(public).hexdigest()
    signature = bytes.fromhex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
    assert is_signed(b"", signature, key.public_key())


def test_openssl_agrees(tmp_path: Path) -> None:
    key = signing_key(tmp_path / "one.key")
    (tmp_path / "public.pem").write_bytes(public_pem(key))
    (tmp_path / "head").write_bytes(b"head")
    (tmp_path / "signature").write_bytes(key.sign(b"head"))
    arguments = "pkeyutl -verify -pubin -inkey public.pem -rawin -in head -sigfile signature"
    command = [program("openssl", "openssl"), *arguments.split()]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "head").write_bytes(b"heaD")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "one.key"
    signing_key(file)
    file.chmod(0o640)
    with pytest.raises(SigningKeyError, match="other accounts may use"):
        signing_key(file)


def test_what_is_no_key(tmp_path: Path) -> None:
    file = tmp_path / "one.key"
    file.touch(0o600)
    with pytest.raises(SigningKeyError, match="no private Ed25519 key"):
        signing_key(file)
    with pytest.raises(SigningKeyError, match="no public Ed25519 key"):
        read_public_key(file)
    with pytest.raises(SigningKeyError, match="cannot be read"):
        read_public_key(tmp_path / "nothing.pem")
    elliptic = generate_private_key(SECP256R1())
    file.write_bytes(elliptic.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SigningKeyError, match="no private Ed25519 key"):
        signing_key(file)
    file.write_bytes(elliptic.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(SigningKeyError, match="no public Ed25519 key"):
        read_public_key(file)


def test_the_public_key_of_a_file(tmp_path: Path) -> None:
    key = signing_key(tmp_path / "one.key")
    (tmp_path / "one.pem").write_bytes(public_pem(key))
    assert fingerprint(read_public_key(tmp_path / "one.pem")) == fingerprint(key)
