"""Patient and study attributes, copied as they are."""

from copy import deepcopy
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.dicom_file import read_headers
from dicom_node.encoding.copied_attributes import COPIED_ATTRIBUTES, REQUIRED_ATTRIBUTES
from dicom_node.encoding.source_attributes import (
    IDENTIFIERS,
    copy_body_part,
    copy_patient_and_study,
    identified_images,
    stand_in,
    stated,
)
from dicom_node.errors import NodeError
from tests.support.ct_source import CtSource, write_ct


def header(folder: Path) -> Dataset:
    return read_headers(write_ct(folder, CtSource(slices=1, rows=4, columns=4)))[0]


def test_each_attribute_is_in_the_dictionary_once() -> None:
    assert len(set(COPIED_ATTRIBUTES)) == len(COPIED_ATTRIBUTES)
    assert set(REQUIRED_ATTRIBUTES) <= set(COPIED_ATTRIBUTES)


@pytest.mark.parametrize("touched", [False, True], ids=["as read", "parsed before"])
def test_values_are_copied_and_others_dropped(tmp_path: Path, touched: bool) -> None:
    source = header(tmp_path)
    if touched:
        assert str(source)
    result = Dataset()
    result.PatientID, result.PatientComments, result.SeriesNumber = "other", "dropped", 5
    copy_patient_and_study(source, result)
    assert result.PatientID == "P-0815"
    assert result.PatientName == "Test^Case"
    assert "PatientComments" not in result
    assert result.SeriesNumber == 5
    assert "SeriesDescription" not in result


def test_source_stays_as_it_was(tmp_path: Path) -> None:
    source = header(tmp_path)
    before = deepcopy(source)
    result = Dataset()
    copy_patient_and_study(source, result)
    result.PatientName = "Changed"
    assert source == before


def test_required_attributes_that_the_source_lacks_are_empty() -> None:
    result = Dataset()
    copy_patient_and_study(Dataset(), result)
    assert set(REQUIRED_ATTRIBUTES) == {element.keyword for element in result}
    assert all(element.is_empty for element in result)


@pytest.mark.parametrize("keyword", IDENTIFIERS)
def test_a_source_without_identifiers_has_no_stand_in(tmp_path: Path, keyword: str) -> None:
    source = header(tmp_path)
    del source[keyword]
    with pytest.raises(NodeError, match=keyword):
        stand_in(source)


@pytest.mark.parametrize(("value", "expected"), [("", None), (None, None), ("7", 7)])
def test_stated_tells_absent_from_present(value: str | None, expected: int | None) -> None:
    dataset = Dataset()
    if value is not None:
        dataset.SeriesNumber = value
    assert stated(dataset, "SeriesNumber") == expected


def test_images_without_identifiers_and_of_other_series_are_not_referred_to(tmp_path: Path) -> None:
    images = [header(tmp_path) for _ in range(4)]
    del images[0].SOPInstanceUID
    images[2].SeriesInstanceUID = "1.2.3"
    assert [image is images[1] or image is images[3] for image in identified_images(images)] == [True, True]
    with pytest.raises(NodeError, match="no image of the series"):
        identified_images(images[:1])


def test_an_empty_character_set_is_left_out(tmp_path: Path) -> None:
    source = header(tmp_path)
    source.SpecificCharacterSet = ""
    result = Dataset()
    copy_patient_and_study(source, result)
    assert "SpecificCharacterSet" not in result


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("HEAD", None)),
        ({"BodyPartExamined": "", "Laterality": ""}, ("HEAD", None)),
        ({"BodyPartExamined": "HEADNECK"}, ("HEADNECK", None)),
        ({"BodyPartExamined": "BRAIN", "Laterality": "R"}, ("BRAIN", "R")),
    ],
)
def test_body_part_and_laterality_are_the_sources(
    values: dict[str, str], expected: tuple[str, str | None]
) -> None:
    source, result = Dataset(), Dataset()
    for keyword, value in values.items():
        setattr(source, keyword, value)
    result.Laterality = "L"
    copy_body_part(source, result)
    assert (result.BodyPartExamined, result.get("Laterality")) == expected
