"""The header that all instances of a synthetic CT series share."""

from dataclasses import dataclass
from datetime import datetime

from pydicom import Dataset
from pydicom.sr.coding import Code

from dicom_node.identifiers import derive_uid

PROCEDURE = Code("77343006", "SCT", "Angiography")  # in PS3.16 CID 100, which CT of head is not
BRAIN = Code("12738006", "SCT", "Brain")  # PS3.16 CID 4
CONTRAST_AGENT = "Iohexol 350"
KVP = 120


@dataclass(frozen=True)
class SeriesHeader:
    """What the series says of patient, study and acquisition.

    Empty UIDs are derived from the seed that `write_series` is given.
    """

    patient_name: str = "Phantom^Synthetic"
    patient_id: str = "PHANTOM-1"
    patient_birth_date: str = "19600101"
    patient_sex: str = "O"
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    frame_of_reference_uid: str = ""
    study_id: str = "1"
    accession_number: str = "A1"
    study_description: str = "CT angiography of the head"
    series_number: int = 2
    series_description: str = "Head CTA 0.6 mm"
    referring_physician_name: str = ""
    image_type: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL")


def build_common_header(
    header: SeriesHeader, seed: str, acquired: datetime, patient_position: str
) -> Dataset:
    """Patient, Study, Series, Frame of Reference, Equipment and Contrast/Bolus modules (PS3.3 table A.3-1).

    acquired: aware; every date and time of the series, with its offset from UTC.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
    _add_times(dataset, acquired)
    _add_patient_and_study(dataset, header, seed)
    _add_series(dataset, header, seed, patient_position)
    dataset.Manufacturer = "GLIA-Net project"
    dataset.InstitutionName = "Synthetic data"
    dataset.StationName = "PHANTOM"
    dataset.ManufacturerModelName = "Head phantom generator"
    dataset.DeviceSerialNumber = "1"
    dataset.SoftwareVersions = "1"
    dataset.ContrastBolusAgent = CONTRAST_AGENT
    dataset.ContrastBolusRoute = "INTRAVENOUS"
    dataset.KVP = KVP
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    return dataset


def as_item(code: Code) -> Dataset:
    """An item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _add_times(dataset: Dataset, acquired: datetime) -> None:
    date, time = acquired.strftime("%Y%m%d"), acquired.strftime("%H%M%S.%f")
    for kind in ("Study", "Series", "Acquisition", "Content", "InstanceCreation"):
        setattr(dataset, f"{kind}Date", date)
        setattr(dataset, f"{kind}Time", time)
    dataset.TimezoneOffsetFromUTC = acquired.strftime("%z")


def _add_patient_and_study(dataset: Dataset, header: SeriesHeader, seed: str) -> None:
    dataset.PatientName = header.patient_name
    dataset.PatientID = header.patient_id
    dataset.PatientBirthDate = header.patient_birth_date
    dataset.PatientSex = header.patient_sex
    dataset.QualityControlSubject = "YES"  # a phantom, not a patient (PS3.3 C.7.1.1)
    dataset.StudyInstanceUID = header.study_instance_uid or derive_uid(seed, "study")
    dataset.StudyID = header.study_id
    dataset.AccessionNumber = header.accession_number
    dataset.ReferringPhysicianName = header.referring_physician_name
    dataset.StudyDescription = header.study_description
    dataset.ProcedureCodeSequence = [as_item(PROCEDURE)]


def _add_series(dataset: Dataset, header: SeriesHeader, seed: str, patient_position: str) -> None:
    dataset.Modality = "CT"
    dataset.SeriesInstanceUID = header.series_instance_uid or derive_uid(seed, "series")
    dataset.SeriesNumber = header.series_number
    dataset.SeriesDescription = header.series_description
    dataset.ProtocolName = "Head CTA"
    dataset.BodyPartExamined = "HEAD"
    dataset.PatientPosition = patient_position
    dataset.FrameOfReferenceUID = header.frame_of_reference_uid or derive_uid(seed, "frame-of-reference")
    dataset.PositionReferenceIndicator = ""
    dataset.AcquisitionNumber = 1
