"""Key images as DICOM: one series, a page for each lesion that refers to its slice, the same bytes every time."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from dicom_node.dicom_file import read_headers
from dicom_node.encoding import encode_results as encode_results_module
from dicom_node.encoding import key_images
from dicom_node.encoding.check_key_images import check_key_images
from dicom_node.encoding.encode_results import EncodedObject, encode_refusal_results, encode_results
from dicom_node.encoding.pages import overview_page
from dicom_node.errors import NodeError
from dicom_node.read_series import SourceSeries
from dicom_node.reasons import Reason
from glianet.volume import Volume
from tests.support.ct_source import CtSource, write_ct
from tests.support.made_findings import (
    WITH_KEY_IMAGES,
    Block,
    make_context,
    make_findings,
    many_blocks,
    read_source,
)

SMALL = CtSource(slices=12, rows=24, columns=30)
BLOCKS: list[Block] = [((2, 6), (10, 16), (20, 25)), ((8, 9), (1, 4), (2, 5))]


def _pages(folder: Path, wanted: CtSource = SMALL, blocks: list[Block] = BLOCKS) -> list[EncodedObject]:
    source = read_source(folder, wanted)
    objects = encode_results(source, make_findings(source, blocks), make_context(), WITH_KEY_IMAGES).objects
    return [one for one in objects if one.kind == "key-image"]


def _read(pages: list[EncodedObject]) -> list[Dataset]:
    return [dcmread(BytesIO(page.data)) for page in pages]


def test_an_overview_and_a_page_for_each_lesion_in_one_series(tmp_path: Path) -> None:
    pages = _pages(tmp_path)
    assert [page.role for page in pages] == ["key-image-1", "key-image-2", "key-image-3"]
    images = _read(pages)
    assert {image.SOPClassUID for image in images} == {SecondaryCaptureImageStorage}
    assert len({image.SeriesInstanceUID for image in images}) == 1
    assert len({image.SOPInstanceUID for image in images}) == 3
    for number, image in enumerate(images, start=1):
        assert (image.InstanceNumber, image.SeriesNumber, image.Modality) == (number, 9803, "OT")
        assert image.pixel_array.shape == (1024, 1024, 3)
        assert (image.BurnedInAnnotation, image.ConversionType) == ("NO", "SYN")
        assert (image.DateOfSecondaryCapture, image.TimeOfSecondaryCapture) == ("20260115", "102030")


@pytest.mark.parametrize(("kind", "frames"), [("classic", [None, None]), ("enhanced", [5, 9])])
def test_a_lesions_page_refers_to_the_slice_of_its_centre(
    tmp_path: Path, kind: str, frames: list[int | None]
) -> None:
    """Centres lie in slices 4 and 8 from the feet: frames 5 and 9; classic slices have UIDs that end so."""
    pages = _read(_pages(tmp_path, CtSource(slices=12, rows=24, columns=30, kind=kind)))
    references = [page.SourceImageSequence[0] for page in pages[1:]]
    assert [reference.get("ReferencedFrameNumber") for reference in references] == frames
    ends = [str(reference.ReferencedSOPInstanceUID).split(".")[-2:] for reference in references]
    assert ends == ([["3", "5"], ["3", "9"]] if kind == "classic" else [["4", "1"]] * 2)
    assert len(pages[0].SourceImageSequence) == 2


def test_the_same_findings_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = _pages(tmp_path / "a"), _pages(tmp_path / "b")
    assert [page.data for page in first] == [page.data for page in second]


def test_nothing_found_is_a_page_of_words_and_needs_no_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = read_source(tmp_path, SMALL)

    def pixels(source: SourceSeries) -> Volume:
        raise AssertionError("no pixel is needed")

    monkeypatch.setattr(encode_results_module, "read_volume", pixels)
    objects = encode_results(source, make_findings(source, []), make_context(), WITH_KEY_IMAGES).objects
    assert [one.role for one in objects] == ["sr", "key-image-1"]
    assert _read(list(objects[1:]))[0].pixel_array.any()


def test_a_series_that_was_not_analysed_gets_a_page_too(tmp_path: Path) -> None:
    headers = read_headers(write_ct(tmp_path, SMALL))
    arguments = headers, Reason.MISSING_SLICE, "a gap of 1.2 mm", make_context(weights_sha256="")
    assert [one.role for one in encode_refusal_results(*arguments).objects] == ["sr"]
    objects = encode_refusal_results(*arguments, wanted=WITH_KEY_IMAGES).objects
    assert [one.role for one in objects] == ["sr", "key-image-1"]
    (image,) = _read(list(objects[1:]))
    assert image.StudyInstanceUID == headers[0].StudyInstanceUID
    assert image.SeriesDescription.endswith("not analysed")


def test_lesions_of_one_series_differ_on_their_pages(tmp_path: Path) -> None:
    overview, first, second = (image.pixel_array for image in _read(_pages(tmp_path)))
    assert not np.array_equal(first, second) and not np.array_equal(overview, first)


def test_the_self_check_finds_a_page_of_another_slice(tmp_path: Path) -> None:
    """Pages of lesions in the wrong order would show the first where the second is named."""
    source = read_source(tmp_path, SMALL)
    pages = _pages(tmp_path)
    check_key_images(pages, source, make_findings(source, BLOCKS))
    with pytest.raises(NodeError, match="page 2 refers to"):
        check_key_images(pages, source, make_findings(source, BLOCKS[::-1]))
    with pytest.raises(NodeError, match="there are 3 pages, not 2"):
        check_key_images(pages, source, make_findings(source, BLOCKS[:1]))


def test_pages_of_words_name_no_free_text_of_the_header(tmp_path: Path) -> None:
    """What is drawn is not found by who removes names: descriptions may hold some."""
    named = SMALL.with_attributes(SeriesDescription="DOE JOHN CTA", SeriesNumber=3)
    assert key_images._series_name(read_source(tmp_path / "a", named).datasets[0]) == "series 3"
    unnumbered = SMALL.with_attributes(SeriesNumber=None)
    assert key_images._series_name(read_source(tmp_path / "b", unnumbered).datasets[0]) == "the series"


def test_a_page_that_cannot_be_drawn_is_an_error_of_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ValueError("no room")

    monkeypatch.setattr(overview_page, "_draw_marks", fail)
    with pytest.raises(NodeError, match="cannot be encoded: ValueError: no room"):
        _pages(tmp_path)


def test_the_first_lesions_alone_have_pages_where_there_are_very_many(tmp_path: Path) -> None:
    """70 lesions: the overview, which says so, and 60 pages."""
    source = read_source(tmp_path, CtSource(slices=40, rows=48, columns=60))
    findings = make_findings(source, many_blocks(source, 70))
    objects = encode_results(source, findings, make_context(), WITH_KEY_IMAGES).objects
    assert len([one for one in objects if one.kind == "key-image"]) == 61
