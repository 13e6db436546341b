"""Dates and times of a result, in the zone in which the study's own are written."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from pydicom import Dataset

from dicom_node.encoding.report import encode_refusal
from dicom_node.encoding.stamp import equipment_arguments
from dicom_node.reasons import Reason
from tests.support.made_findings import make_context

CONCLUDED = datetime(2026, 1, 15, 23, 20, 30, 900000, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def header(**attributes: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("offset", "zone", "expected"),
    [
        (None, UTC, ("20260115", "232030")),
        (None, BERLIN, ("20260116", "002030")),
        ("-0330", BERLIN, ("20260115", "195030")),
        ("+0530", UTC, ("20260116", "045030")),
        ("nonsense", BERLIN, ("20260116", "002030")),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value")
def test_times_are_written_as_the_studys_are(
    offset: str | None, zone: timezone | ZoneInfo, expected: tuple[str, str]
) -> None:
    source = header() if offset is None else header(TimezoneOffsetFromUTC=offset)
    context = make_context(concluded_at=CONCLUDED, time_zone=zone)
    report = encode_refusal([source], Reason.NOT_AXIAL, "31 degrees", context)
    for prefix in ("InstanceCreation", "Content", "Series"):
        assert (str(report[f"{prefix}Date"].value), str(report[f"{prefix}Time"].value)) == expected
    assert report.get("TimezoneOffsetFromUTC") == offset


def test_every_time_of_contribution_is_when_the_analysis_ended() -> None:
    report = encode_refusal([header()], Reason.NOT_AXIAL, "31 degrees", make_context(concluded_at=CONCLUDED))
    times = [item.ContributionDateTime for item in report.ContributingEquipmentSequence]
    assert times and {str(time) for time in times} == {"20260115232030+0000"}


def test_software_is_named_with_its_weights() -> None:
    arguments = equipment_arguments(make_context(weights_sha256="ab" * 32))
    assert arguments["software_versions"] == ["0.1.0", "weights abababababababab"]
    assert equipment_arguments(make_context(weights_sha256=""))["software_versions"] == ["0.1.0"]


def test_a_zone_east_of_the_date_line_is_understood() -> None:
    zone = timezone(timedelta(hours=14))
    report = encode_refusal(
        [header()], Reason.NOT_AXIAL, "1", make_context(concluded_at=CONCLUDED, time_zone=zone)
    )
    assert str(report.ContentDate) == "20260116"
