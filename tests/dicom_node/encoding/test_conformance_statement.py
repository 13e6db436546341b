"""docs/conformance.md names every code, SOP class, transfer syntax and status that the code has."""

from pathlib import Path

import pytest
from pydicom.sr.coding import Code
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from dicom_node import codes
from dicom_node.encoding.segmentation import CONTENT_LABEL
from dicom_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.network_library import VERIFICATION
from dicom_node.receiver import store
from dicom_node.receiver.contexts import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES
from dicom_node.result_kinds import LABEL_MAP_STORAGE
from glianet import __version__

STATEMENT = (Path(__file__).parents[3] / "docs" / "conformance.md").read_text(encoding="utf-8")
UNITS = ("CUBIC_MILLIMETER", "MILLIMETER", "PERCENT")  # named by their symbols
CODES = {name: value for name, value in vars(codes).items() if isinstance(value, Code) and name not in UNITS}
IMPLIED = {"DEVICE"}  # the observer's type, which the statement gives in a word


@pytest.mark.parametrize("name", sorted(CODES.keys() - IMPLIED))
def test_every_code_stands_in_it_with_scheme_and_meaning(name: str) -> None:
    code = CODES[name]
    assert f'({code.value}, {code.scheme_designator}, "{code.meaning}")' in STATEMENT


def test_sop_classes_stand_in_it() -> None:
    created = (
        SegmentationStorage,
        LABEL_MAP_STORAGE,
        Comprehensive3DSRStorage,
        ComprehensiveSRStorage,
        EnhancedSRStorage,
        SecondaryCaptureImageStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        ParametricMapStorage,
        EncapsulatedPDFStorage,
    )
    for uid in (VERIFICATION, *STORAGE_SOP_CLASSES, *created):
        assert f"| {uid} |" in STATEMENT


def test_transfer_syntaxes_stand_in_it_in_the_order_of_preference() -> None:
    places = [STATEMENT.index(f"| {syntax} |") for syntax in TRANSFER_SYNTAXES]
    assert places == sorted(places)


def test_statuses_stand_in_it() -> None:
    answered = (
        store.SUCCESS,
        store.SOP_CLASS_NOT_SUPPORTED,
        store.OUT_OF_RESOURCES,
        store.DOES_NOT_MATCH,
        store.CANNOT_UNDERSTAND,
    )
    for status in answered:
        assert f"| 0x{status:04X} |" in STATEMENT


def test_names_of_this_implementation_stand_in_it() -> None:
    for name in (__version__, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, CONTENT_LABEL):
        assert name in STATEMENT
