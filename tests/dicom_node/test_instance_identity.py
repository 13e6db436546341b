"""Identification of encoded data sets: every encoding, and hostile bytes."""

import struct
import zlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_node.instance_identity import HEADER_LIMIT, UnreadableDataSet, identify_instance
from tests.support.dicom_network import STUDY, encode, make_ct

SERIES_COUNT, ACQUISITION_COUNT, NUMBER_OF_SLICES = 0x00201209, 0x00201002, 0x00540081


@pytest.mark.parametrize(
    "transfer_syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
def test_uids_and_announced_count_are_found_in_every_encoding(transfer_syntax: str) -> None:
    dataset = make_ct(7)
    dataset.ReferencedImageSequence = [make_ct(9)]  # its UIDs, in front of the series', must not be taken
    dataset.NumberOfSeriesRelatedInstances = 321
    identity = identify_instance(encode(dataset, transfer_syntax), transfer_syntax, (SERIES_COUNT,))
    assert identity.sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
    assert identity.sop_instance_uid == f"{STUDY}.1.7"
    assert identity.study_instance_uid == STUDY
    assert identity.series_instance_uid == f"{STUDY}.1"
    assert identity.announced_instances == 321


@pytest.mark.parametrize("transfer_syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_first_announcing_attribute_with_a_count_wins(transfer_syntax: str) -> None:
    dataset = make_ct()
    dataset.ImagesInAcquisition = 250  # VR IS
    dataset.NumberOfSlices = 300  # VR US
    data = encode(dataset, transfer_syntax)
    tags = (SERIES_COUNT, NUMBER_OF_SLICES, ACQUISITION_COUNT)
    assert identify_instance(data, transfer_syntax, tags).announced_instances == 300
    assert identify_instance(data, transfer_syntax, tags[::-1]).announced_instances == 250
    assert identify_instance(data, transfer_syntax).announced_instances is None


@pytest.mark.parametrize("text", [b"0 ", b"-5", b"12.5", b"many", b"", b"99999999"])
def test_announcement_that_is_no_count_is_none(text: bytes) -> None:
    dataset = make_ct()
    dataset.NumberOfSeriesRelatedInstances = 1111
    data = encode(dataset)
    element = b"\x20\x00\x09\x12IS\x04\x001111"
    assert data.count(element) == 1
    data = data.replace(element, element[:6] + len(text).to_bytes(2, "little") + text)
    assert identify_instance(data, ExplicitVRLittleEndian, (SERIES_COUNT,)).announced_instances is None


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_missing_uid_is_named(keyword: str) -> None:
    dataset = make_ct()
    delattr(dataset, keyword)
    with pytest.raises(UnreadableDataSet, match=f"{keyword} is missing"):
        identify_instance(encode(dataset), ExplicitVRLittleEndian)


@pytest.mark.parametrize("uid", [b"../../../etc/pwd", b"1.2.03.4", b"1.2\\1.3", b"\xff\xfe1.2.3.4"])
def test_what_is_no_uid_is_refused(uid: bytes) -> None:
    dataset = make_ct()
    dataset.SeriesInstanceUID = "1.22.333.4444.55"  # 16 characters
    data = encode(dataset)
    assert data.count(b"1.22.333.4444.55") == 1
    data = data.replace(b"1.22.333.4444.55", uid.ljust(16, b"\0"))
    with pytest.raises(UnreadableDataSet, match="SeriesInstanceUID is not a valid UID"):
        identify_instance(data, ExplicitVRLittleEndian)


def test_header_cut_inside_a_uid_is_refused() -> None:
    data = encode(make_ct())
    end = data.index(b"\x20\x00\x0e\x00UI") + 8 + len(f"{STUDY}.1")
    assert identify_instance(data[: end + 1], ExplicitVRLittleEndian).series_instance_uid == f"{STUDY}.1"
    with pytest.raises(UnreadableDataSet, match="ends in the middle"):
        identify_instance(data[: end - 2], ExplicitVRLittleEndian)  # would read as another, valid UID


def test_a_deflate_bomb_is_not_inflated() -> None:
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    block = b"\0" * HEADER_LIMIT
    bomb = b"".join(deflater.compress(block) for _ in range(100)) + deflater.flush()
    assert len(bomb) < HEADER_LIMIT / 4
    with pytest.raises(UnreadableDataSet):
        identify_instance(bomb, DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("depth", [10, 5000])
def test_nested_sequences_are_no_trap(depth: int) -> None:
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    with pytest.raises(UnreadableDataSet):
        identify_instance(opened * depth, ExplicitVRLittleEndian)


@given(
    data=st.binary(max_size=400),
    transfer_syntax=st.sampled_from(
        [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
    ),
)
def test_arbitrary_bytes_raise_nothing_else(data: bytes, transfer_syntax: str) -> None:
    with pytest.raises(UnreadableDataSet):
        identify_instance(data, transfer_syntax, (SERIES_COUNT,))


@given(position=st.integers(0, 150), junk=st.binary(min_size=1, max_size=12))
def test_damaged_headers_are_read_or_refused(position: int, junk: bytes) -> None:
    data = bytearray(encode(make_ct()))
    data[position : position + len(junk)] = junk
    try:
        identity = identify_instance(BytesIO(data).getvalue(), ExplicitVRLittleEndian, (SERIES_COUNT,))
    except UnreadableDataSet:
        return
    assert identity.study_instance_uid.replace(".", "").isdigit()


def test_file_meta_information_inside_a_data_set_is_refused() -> None:
    """In a file it would follow the true one and overrule the negotiated transfer syntax."""
    smuggled = struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", 22) + b"1.2.840.10008.1.2.4.50"
    with pytest.raises(UnreadableDataSet):
        identify_instance(smuggled + encode(make_ct(1)), ExplicitVRLittleEndian)


def test_refusal_quotes_nothing_of_the_data_set() -> None:
    """It goes to logs and to the audit log: the kind of the damage alone, not the parser's own words."""
    with pytest.raises(UnreadableDataSet) as caught:
        identify_instance(b"\xff" * 50, DeflatedExplicitVRLittleEndian)
    assert caught.value.what == "it cannot be parsed (error)"  # zlib.error
