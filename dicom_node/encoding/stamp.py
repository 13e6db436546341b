"""The attributes that every result bears in the same way: patient, study, device, dates and series."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from re import fullmatch
from typing import Any

from highdicom import ContributingEquipment
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, DT, TM

from dicom_node.codes import PROCESSING_EQUIPMENT
from dicom_node.encoding.context import MANUFACTURER, RESEARCH_USE, ResultContext
from dicom_node.encoding.sentences import list_entry
from dicom_node.encoding.source_attributes import copy_patient_and_study, stated


def stamp_result(result: Dataset, source: Dataset, context: ResultContext) -> None:
    """Complete a new SEG or SR: patient and study of `source`, equipment and times of `context`.

    All dates and times of the result itself are when the analysis was concluded, so that encoding the same
    findings again gives the same bytes.
    """
    copy_patient_and_study(source, result)
    _stamp_times(result, local_time(source, context))
    _stamp_equipment(result, context)


def local_time(source: Dataset, context: ResultContext) -> datetime:
    """When the analysis was concluded, in the source's time zone, else the node's."""
    return context.concluded_at.astimezone(_offset_of(source) or context.time_zone)


def _offset_of(source: Dataset) -> tzinfo | None:
    """The zone of the source's dates and times (PS3.3 C.12.1.1.8: &ZZXX), where it says one."""
    match = fullmatch(r"([+-])(\d\d)(\d\d)", str(stated(source, "TimezoneOffsetFromUTC") or "").strip())
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def _stamp_times(result: Dataset, concluded_at: datetime) -> None:
    for prefix in ("InstanceCreation", "Content", "Series"):
        setattr(result, f"{prefix}Date", DA(concluded_at.strftime("%Y%m%d")))
        setattr(result, f"{prefix}Time", TM(concluded_at.strftime("%H%M%S")))


def _stamp_equipment(result: Dataset, context: ResultContext) -> None:
    result.StationName = context.node_ae_title
    result.DeviceUID = context.device_uid
    result.ContentQualification = "RESEARCH"  # PS3.3 C.8.13.2.1.1
    for equipment in result.ContributingEquipmentSequence:
        if "ContributionDateTime" in equipment:  # highdicom's own item has the time of the clock
            equipment.ContributionDateTime = _date_time(context)


def equipment_arguments(context: ResultContext) -> dict[str, Any]:
    """What the constructors of highdicom ask about the device that made a result."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": context.algorithm_name,
        "software_versions": context.software_versions,
        "device_serial_number": context.node_ae_title,
        "contributing_equipment": [processing_equipment(context)],
    }


def object_arguments(
    context: ResultContext,
    header: Dataset,
    kind: str,
    number: int,
    description: str,
    *,
    role: str = "",
    instance_number: int = 1,
    analysed: bool = True,
) -> dict[str, Any]:
    """What the constructors of highdicom ask about an object and its series.

    header: of the source. kind: of `result_kinds`; number, description: of the series, as the settings have them.
    role: where the series has several objects, that of this one; its UID follows from it.
    """
    series_uid = str(header.SeriesInstanceUID)
    return {
        "series_instance_uid": context.result_uid(kind, "series", series_uid),
        "series_number": number,
        "series_description": list_entry(description, header, analysed=analysed),
        "sop_instance_uid": context.result_uid(role or kind, "instance", series_uid),
        "instance_number": instance_number,
        "transfer_syntax_uid": ExplicitVRLittleEndian,
        "specific_character_set": None,
        **equipment_arguments(context),
    }


def processing_equipment(context: ResultContext) -> ContributingEquipment:
    """The item of Contributing Equipment Sequence that says which algorithm worked here (PS3.3 C.12.1)."""
    equipment = ContributingEquipment(
        MANUFACTURER,
        PROCESSING_EQUIPMENT,
        manufacturer_model_name=context.algorithm_name,
        software_versions=context.software_versions,
        device_serial_number=context.node_ae_title,
        station_name=context.node_ae_title,
        contribution_datetime=_date_time(context),
        contribution_description=f"Detection of intracranial aneurysm candidates. {RESEARCH_USE}",
    )
    equipment.DeviceUID = context.device_uid
    return equipment


def _date_time(context: ResultContext) -> DT:
    return DT(context.concluded_at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000"))
