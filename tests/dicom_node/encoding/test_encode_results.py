"""The stage as a whole: files, the same bytes every time, and headers that are out of the ordinary."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.dicom_file import read_headers
from dicom_node.encoding.encode_results import EncodedObject, encode_refusal_results, encode_results
from dicom_node.errors import NodeError
from dicom_node.identifiers import is_valid_uid
from dicom_node.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_node.read_series import inspect_series
from dicom_node.reasons import Reason
from dicom_node.settings import AssemblySettings
from tests.support.ct_source import CtSource
from tests.support.made_findings import ANY_CT, make_context, make_findings, read_source

SMALL = CtSource(slices=5, rows=24, columns=20)
BLOCKS = [((1, 4), (3, 8), (5, 9))]
REPOSITORY = Path(__file__).parents[3]


def encode(folder: Path, wanted: CtSource = SMALL, **changes: Any) -> tuple[EncodedObject, ...]:
    source = read_source(folder, wanted)
    return encode_results(source, make_findings(source, BLOCKS), make_context(**changes)).objects


def read(encoded: EncodedObject) -> Dataset:
    return dcmread(BytesIO(encoded.data))


def test_results_are_files_of_one_study_in_series_of_their_own(tmp_path: Path) -> None:
    segmentation, report = encode(tmp_path)
    assert (segmentation.role, report.role) == ("seg", "sr")
    for encoded in (segmentation, report):
        dataset = read(encoded)
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert dataset.SOPClassUID == encoded.sop_class_uid
        assert dataset.SOPInstanceUID == encoded.sop_instance_uid
        assert dataset.SeriesInstanceUID == encoded.series_instance_uid
        assert is_valid_uid(encoded.sop_instance_uid) and is_valid_uid(encoded.series_instance_uid)
    assert segmentation.series_instance_uid != report.series_instance_uid
    assert read(segmentation).StudyInstanceUID == read(report).StudyInstanceUID


def test_no_lesion_gives_a_report_alone(tmp_path: Path) -> None:
    source = read_source(tmp_path, SMALL)
    objects = encode_results(source, make_findings(source, []), make_context()).objects
    assert [encoded.role for encoded in objects] == ["sr"]


SCRIPT = """
import hashlib, sys
from pathlib import Path
from tests.dicom_node.encoding.test_encode_results import encode
for encoded in encode(Path(sys.argv[1])):
    print(encoded.role, hashlib.sha256(encoded.data).hexdigest())
"""


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    """Neither the clock nor the order of hashes may enter a result."""
    expected = "".join(
        f"{encoded.role} {hashlib.sha256(encoded.data).hexdigest()}\n" for encoded in encode(tmp_path / "a")
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "b")]
    finished = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    assert finished.stdout == expected


@pytest.mark.parametrize("change", [{"fingerprint": "other"}, {"instances_digest": "other"}])
def test_another_analysis_gives_other_uids(tmp_path: Path, change: dict[str, str]) -> None:
    for first, second in zip(encode(tmp_path / "a"), encode(tmp_path / "b", **change), strict=True):
        assert first.sop_instance_uid != second.sop_instance_uid
        assert first.series_instance_uid != second.series_instance_uid


NAMES = {
    "latin": ("ISO_IR 100", "M\u00fcller^J\u00f6rg"),
    "greek": ("ISO_IR 126", "\u0394\u03b9\u03bf\u03bd\u03c5\u03c3\u03b9\u03bf\u03c2"),
    "japanese": (
        ["", "ISO 2022 IR 87"],
        "Yamada^Tarou=\u5c71\u7530^\u592a\u90ce=\u3084\u307e\u3060^\u305f\u308d\u3046",
    ),
    "unicode": ("ISO_IR 192", "Wang^XiaoDong=\u738b^\u5c0f\u6771"),
    "chinese": ("GB18030", "Zhang^XiaoDong=\u5f20^\u5c0f\u4e1c"),
}


@pytest.mark.parametrize("script", NAMES)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_names_in_any_script_stay_as_they_are(tmp_path: Path, script: str, syntax: str) -> None:
    charset, name = NAMES[script]
    wanted = CtSource(slices=5, rows=24, columns=20, transfer_syntax=syntax).with_attributes(
        SpecificCharacterSet=charset, PatientName=name, SeriesDescription=name.split("^")[0]
    )
    for encoded in encode(tmp_path, wanted):
        dataset = read(encoded)
        assert str(dataset.PatientName) == name
        assert dataset.SpecificCharacterSet == charset


def set_bytes(folder: Path, keyword: str, value: bytes) -> Path:
    """A series in `folder` whose images hold these bytes in an attribute, whatever the standard says."""
    marker = "0001" if keyword == "PatientWeight" else "MARK"
    read_source(folder, SMALL.with_attributes(**{keyword: marker}))
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(marker.encode(), value))
    return folder


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PatientWeight", b"70,5"), ("PatientName", b"\xff\xfe^\xe9"), ("StudyDescription", b"\xffab\xfe")],
)
def test_values_that_cannot_be_read_are_copied_as_bytes(tmp_path: Path, keyword: str, value: bytes) -> None:
    folder = set_bytes(tmp_path, keyword, value)
    source = inspect_series(
        read_headers(sorted(folder.iterdir())), ANY_CT, AssemblySettings(), conflicting=False
    )
    for encoded in encode_results(source, make_findings(source, BLOCKS), make_context()).objects:
        assert value in encoded.data


ODD = {
    "sex": {"PatientSex": "U"},
    "birth date": {"PatientBirthDate": "1950"},
    "study date": {"StudyDate": "2026.01.10"},
    "character set": {"SpecificCharacterSet": None},
    "no optional attributes": dict.fromkeys(
        (
            "StudyID",
            "StudyDate",
            "StudyTime",
            "AccessionNumber",
            "ReferringPhysicianName",
            "PatientBirthDate",
            "PatientSex",
            "PatientID",
            "PatientAge",
            "StudyDescription",
            "SeriesNumber",
            "SeriesDescription",
            "Manufacturer",
            "PositionReferenceIndicator",
        )
    ),
}


@pytest.mark.filterwarnings("ignore:Invalid value")
@pytest.mark.parametrize("oddity", ODD)
@pytest.mark.parametrize("kind", ["classic", "legacy"])
def test_odd_headers_do_not_stop_a_result(tmp_path: Path, oddity: str, kind: str) -> None:
    wanted = CtSource(slices=5, rows=24, columns=20, kind=kind).with_attributes(**ODD[oddity])
    for encoded in encode(tmp_path, wanted):
        dataset = read(encoded)
        for keyword, value in ODD[oddity].items():
            if value is None:
                assert not dataset.get(keyword) or keyword in {
                    "SeriesNumber",
                    "SeriesDescription",
                    "Manufacturer",
                }
            else:
                assert str(dataset[keyword].value) == value


def test_files_name_the_node_as_their_writer(tmp_path: Path) -> None:
    for encoded in encode(tmp_path, SMALL):
        meta = read(encoded).file_meta
        assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
        assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME


def test_attributes_of_special_patients_are_copied(tmp_path: Path) -> None:
    special = {
        "QualityControlSubject": "YES",
        "PatientSpeciesDescription": "Dog",
        "PatientBreedDescription": "Beagle",
        "ResponsibleOrganization": "Animal clinic",
        "ReasonForVisit": "Headache",
        "ClinicalTrialProtocolEthicsCommitteeName": "Committee",
    }
    for encoded in encode(tmp_path, SMALL.with_attributes(**special)):
        dataset = read(encoded)
        assert {keyword: str(dataset.get(keyword)) for keyword in special} == special


def test_sequences_of_the_study_are_copied(tmp_path: Path) -> None:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "CTA", "99KIS", "CTA Sch\u00e4del"
    wanted = CtSource(slices=5, rows=24, columns=20, transfer_syntax=ImplicitVRLittleEndian)
    for encoded in encode(tmp_path, wanted.with_attributes(ProcedureCodeSequence=[item])):
        assert read(encoded).ProcedureCodeSequence[0].CodeMeaning == "CTA Sch\u00e4del"


def test_refusal_is_one_checked_report(tmp_path: Path) -> None:
    headers = read_source(tmp_path, SMALL).datasets
    (encoded,) = encode_refusal_results(headers, Reason.GANTRY_TILT, "tilt 12.0 degrees", make_context()).objects
    assert encoded.role == "sr"
    assert read(encoded).StudyInstanceUID == headers[0].StudyInstanceUID


def test_refusal_of_an_image_of_another_kind(tmp_path: Path) -> None:
    """What is refused need not be a CT, nor bear attributes that a CT must have."""
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.3.6.1.4.1.9590.7.7", "1.2.3.4"
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    (encoded,) = encode_refusal_results([header], Reason.SOP_CLASS, "private SOP Class", make_context()).objects
    evidence = read(encoded).CurrentRequestedProcedureEvidenceSequence[0]
    reference = evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPClassUID == "1.3.6.1.4.1.9590.7.7"


def test_refusal_without_a_study_cannot_be_reported() -> None:
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID, header.SeriesInstanceUID = (
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.3.4",
        "1.2.3",
    )
    with pytest.raises(NodeError, match="StudyInstanceUID"):
        encode_refusal_results([header], Reason.MISSING_GEOMETRY, "no study", make_context())


@pytest.mark.parametrize("module", ["dicom_node.encoding", "dicom_node.encoding.encode_results"])
def test_encoding_does_not_import_torch(module: str) -> None:
    script = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)


@pytest.mark.parametrize("where", ["lower", "larger"])
def test_findings_of_another_grid_are_not_written_over_the_source(tmp_path: Path, where: str) -> None:
    source = read_source(tmp_path, SMALL)
    findings = make_findings(source, BLOCKS)
    if where == "lower":
        affine = findings.affine.copy()
        affine[2, 3] -= 0.01  # mm
        findings = replace(findings, affine=affine)
    else:
        findings = replace(findings, labels=np.pad(findings.labels, ((0, 0), (0, 0), (0, 1))))
    with pytest.raises(NodeError, match="the findings are of another grid.*reanalyse"):
        encode_results(source, findings, make_context())
