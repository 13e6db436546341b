"""UIDs: what is valid, and that the same parts always give the same UID."""

import pytest
from pydicom.uid import UID

from dicom_node.identifiers import analysis_fingerprint, derive_uid, digest_of_instances, is_valid_uid


@pytest.mark.parametrize("uid", ["1.2.840.10008.5.1.4.1.1.2", "2.25.0", "1.2.3." + "9" * 58])
def test_valid_uids(uid: str) -> None:
    assert is_valid_uid(uid)
    assert UID(uid).is_valid  # pydicom agrees


@pytest.mark.parametrize(
    "uid",
    ["", ".", "1..2", "1.02.3", ".1.2", "1.2.", "1.2.3." + "9" * 59, "1.2/../etc", "1.2.3\n", "a.b", "1.2.٣"],
)
def test_invalid_uids(uid: str) -> None:
    assert not is_valid_uid(uid)


def test_derived_uid_is_stable_and_valid() -> None:
    """The number is what hashlib gives for the length-prefixed parts; it must never change between versions."""
    assert derive_uid("1.2.3", "seg") == "2.25.188116807093084648642783140440279419367"
    assert is_valid_uid(derive_uid("1.2.3", "seg"))


def test_derived_uid_keeps_parts_apart() -> None:
    assert derive_uid("ab", "c") != derive_uid("a", "bc")


def test_instances_digest_knows_no_order() -> None:
    one, two, three = ("1.2", "aa"), ("1.3", "bb"), ("1.4", "cc")
    assert digest_of_instances([one, two]) == digest_of_instances([two, one])
    assert digest_of_instances([one, two]) != digest_of_instances([one, two, three])


def test_instances_digest_changes_with_the_content_of_an_image() -> None:
    assert digest_of_instances([("1.2", "aa")]) != digest_of_instances([("1.2", "ab")])
    assert digest_of_instances([("1.2", "aa"), ("1.3", "bb")]) != digest_of_instances([("1.2", "bb"), ("1.3", "aa")])


def test_fingerprint_changes_with_every_parameter() -> None:
    base = analysis_fingerprint(weights="a", step=48, threshold=0.5)
    assert base == analysis_fingerprint(threshold=0.5, step=48, weights="a")
    assert base != analysis_fingerprint(weights="a", step=32, threshold=0.5)
