"""The same object in another transfer syntax: every value and pixel as it was, read back by pydicom."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from dicom_node.encoding.encode_results import EncodedObject, encode_results
from dicom_node.transcoding import transcode
from tests.support.ct_source import CtSource
from tests.support.made_findings import make_context, make_findings, read_source

KINDS = ("seg", "sr", "seg-labelmap", "sr-labelmap", "key-image")
RLE, EXPLICIT = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EncodedObject]:
    source = read_source(tmp_path_factory.mktemp("source"), CtSource(slices=12, rows=24, columns=30))
    findings = make_findings(source, [((2, 6), (10, 16), (20, 25))])
    return {one.kind: one for one in encode_results(source, findings, make_context(), KINDS).objects}


def without_pixels(dataset: Dataset) -> dict[str, str]:
    skipped = ("PixelData", "PlanarConfiguration")
    return {element.keyword: str(element.value) for element in dataset if element.keyword not in skipped}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("wanted", "syntax"), [("implicit-little-endian", "1.2.840.10008.1.2"), ("deflated", "1.2.840.10008.1.2.1.99")]
)
def test_every_value_is_the_same(objects: dict[str, EncodedObject], kind: str, wanted: str, syntax: str) -> None:
    before = dcmread(BytesIO(objects[kind].data))
    after = dcmread(BytesIO(transcode(objects[kind].data, wanted)))  # type: ignore[arg-type]
    assert after.file_meta.TransferSyntaxUID == syntax
    assert after.file_meta.MediaStorageSOPInstanceUID == before.SOPInstanceUID
    assert [element.tag for element in after] == [element.tag for element in before]
    assert without_pixels(after) == without_pixels(before)
    assert after.get("PixelData") == before.get("PixelData")


@pytest.mark.parametrize(
    ("kind", "syntax"), [("key-image", RLE), ("seg-labelmap", RLE), ("seg", EXPLICIT), ("sr", EXPLICIT)]
)
def test_rle_is_for_pixels_of_whole_bytes(objects: dict[str, EncodedObject], kind: str, syntax: str) -> None:
    before = dcmread(BytesIO(objects[kind].data))
    data = transcode(objects[kind].data, "rle-lossless")
    after = dcmread(BytesIO(data))
    assert (after.file_meta.TransferSyntaxUID, after.SOPInstanceUID) == (syntax, before.SOPInstanceUID)
    if syntax == RLE:
        assert np.array_equal(after.pixel_array, before.pixel_array)
        assert len(data) < len(objects[kind].data)
    else:
        assert data == objects[kind].data


def test_what_is_explicit_stays_byte_for_byte(objects: dict[str, EncodedObject], tmp_path: Path) -> None:
    for one in objects.values():
        assert transcode(one.data, "explicit-little-endian") == one.data
