"""SEG and SR of a small series with two lesions, and what can be wrong in either."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import ImplicitVRLittleEndian

from dicom_node.encoding.encode_results import encode_results
from dicom_node.encoding.part10 import EncodedObject, to_part10
from dicom_node.read_series import SourceSeries
from glianet.findings import Findings
from tests.support.ct_source import ROOT
from tests.support.damage import give_to_another_patient, move_to_another_study, spoil_a_uid
from tests.support.made_findings import make_context, make_findings, read_source
from tests.support.result_folder import BLOCKS, SMALL, Change

Made = tuple[SourceSeries, Findings, tuple[EncodedObject, ...]]


def make_results(folder: Path) -> Made:
    source = read_source(folder, SMALL)
    findings = make_findings(source, BLOCKS)
    return source, findings, encode_results(source, findings, make_context()).objects


def changed(encoded: EncodedObject, change: Change) -> EncodedObject:
    """The result with something wrong in its data set; role and identifiers are those announced before."""
    dataset = dcmread(BytesIO(encoded.data))
    change(dataset)
    return replace(encoded, data=to_part10(encoded.role, dataset).data)


def change_the_name(dataset: Dataset) -> None:
    dataset.PatientName = "Test^Casey"


def drop_the_accession_number(dataset: Dataset) -> None:
    del dataset.AccessionNumber


def join_the_source_series(dataset: Dataset) -> None:
    dataset.SeriesInstanceUID = f"{ROOT}.2"


def claim_another_class(dataset: Dataset) -> None:
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"


def change_the_transfer_syntax(dataset: Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


IN_BOTH: dict[Change, str] = {
    move_to_another_study: "patient or study differ from the source in StudyInstanceUID",
    give_to_another_patient: "in PatientID",
    change_the_name: "in PatientName",
    drop_the_accession_number: "in AccessionNumber",
    spoil_a_uid: "DeviceUID holds the invalid UID '2.25.00123'",
    join_the_source_series: "Series Instance UIDs do not agree",
    claim_another_class: "the SOP Class is",
    change_the_transfer_syntax: "the transfer syntax is 1.2.840.10008.1.2",
}
