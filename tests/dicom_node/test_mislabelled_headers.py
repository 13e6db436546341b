"""Attributes with a VR that is not theirs: they end no process, and nobody's results go under another patient."""

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_node import publishing
from dicom_node.analysis import analyse_next
from dicom_node.atna.cursor import read_marks
from dicom_node.atna.follow import Follower
from dicom_node.frames import DAMAGED, damage_refused
from dicom_node.legible import check_identifying, is_legible
from dicom_node.patients import UNKNOWN, hash_patient, patient_key
from dicom_node.reasons import NotAnalysable, Reason
from dicom_node.settings import UrgentRule
from dicom_node.urgency import is_urgent
from storage.audit import newest_number
from storage.outbox import deliveries
from storage.series import instance_paths
from storage.states import SeriesState
from tests.support.head_series import HeadSeries, change
from tests.support.mislabelled import mislabel, mislabel_all
from tests.support.pipeline import Pipeline, no_lesion, open_pipeline, small_series

IDENTIFYING = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "SeriesInstanceUID",
)
NO_VR, HALF_A_NUMBER, TWO_BYTES = (b"ZZ", b"abcd"), (b"FD", b"abc"), (b"US", b"abc")
A_NUMBER = (b"FD", struct.pack("<d", 4711.0))  # it decodes, and nobody wrote it
WAYS = {"no VR": NO_VR, "half a number": HALF_A_NUMBER, "three bytes of US": TWO_BYTES, "a number": A_NUMBER}


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    atna = {"enabled": True, "transport": "udp"}
    with open_pipeline(tmp_path / "node", atna=atna) as opened:
        yield opened


def received(pipeline: Pipeline, tmp_path: Path) -> tuple[HeadSeries, list[Path]]:
    """A series, and its files in the spool in the order in which they came."""
    series = small_series(tmp_path)
    pipeline.receive(series.files)
    pipeline.quiet()
    rows = instance_paths(pipeline.db, pipeline.row(series).id)
    return series, [pipeline.spool.absolute(row.path) for row in rows]


def check_told(pipeline: Pipeline) -> None:
    """The audit messages of all rows go out, each in full."""
    sent: list[bytes] = []
    follower = Follower(pipeline.db, pipeline.settings, pipeline.clock, send=sent.extend, monotonic=lambda: 0.0)
    assert follower.follow()
    assert len(sent) >= 2  # that the series began to come, and that it was there
    assert b"cannot be told in full" not in b"".join(sent)
    assert read_marks(pipeline.folders.atna_cursor)[-1].number == newest_number(pipeline.db)


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("keyword", IDENTIFYING)
def test_a_series_of_nobody_is_not_analysed_and_nobody_is_told(
    pipeline: Pipeline, tmp_path: Path, keyword: str, how: tuple[bytes, bytes]
) -> None:
    series, files = received(pipeline, tmp_path)
    mislabel_all(files, keyword, *how)
    assert pipeline.assemble()
    row = pipeline.row(series)
    assert (row.state, row.reason_code) == (SeriesState.REFUSED, Reason.HEADER_UNREADABLE)
    assert keyword in str(row.reason_detail) and "4711" not in str(row.reason_detail)
    assert pipeline.publish()
    assert (pipeline.row(series).state, deliveries(pipeline.db, row.id)) == (SeriesState.NOT_ANALYSED, [])
    (refused,) = pipeline.audit("series-refused")
    assert (refused.detail["patient_hash"] == UNKNOWN) == (keyword == "PatientID")
    check_told(pipeline)


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "StudyInstanceUID"])
def test_one_image_of_nobody_refuses_the_series_and_the_others_say_to_whom_that_is_told(
    pipeline: Pipeline, tmp_path: Path, keyword: str
) -> None:
    series, files = received(pipeline, tmp_path)
    broken = dcmread(files[0]).SOPInstanceUID
    mislabel(files[0], keyword, *NO_VR)
    assert pipeline.assemble() and pipeline.publish()
    row = pipeline.row(series)
    assert (row.state, row.reason_code) == (SeriesState.DELIVERING, Reason.HEADER_UNREADABLE)
    report = only_report(pipeline, row.id)
    good = dcmread(series.files[1])
    assert (report.PatientID, report.StudyInstanceUID) == (good.PatientID, good.StudyInstanceUID)
    assert broken not in str(report)
    check_told(pipeline)


def test_the_next_images_patient_does_not_stand_in_for_one_who_cannot_be_read(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    key = patient_key(pipeline.folders.patient_key)
    _, files = received(pipeline, tmp_path)
    patient = str(dcmread(files[1]).PatientID)
    mislabel(files[0], "PatientID", *A_NUMBER)
    pipeline.assemble()
    (refused,) = pipeline.audit("series-refused")
    assert refused.detail["patient_hash"] == UNKNOWN
    assert UNKNOWN not in (hash_patient(patient, key), hash_patient("4711.0", key))


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "keyword", ["StudyDate", "AccessionNumber", "StudyDescription", "ReferringPhysicianName", "TimezoneOffsetFromUTC"]
)
def test_what_does_not_tell_the_patient_is_left_out_of_the_results(
    pipeline: Pipeline, tmp_path: Path, keyword: str, how: tuple[bytes, bytes]
) -> None:
    """The head is looked at all the same: StudyDescription is what a rule for urgent series asks for, too."""
    series, files = received(pipeline, tmp_path)
    mislabel_all(files, keyword, *how)
    assert pipeline.assemble()
    row = pipeline.row(series)
    assert (row.state, row.urgent) == (SeriesState.QUEUED, False)
    pipeline.conclude(series, no_lesion(series))
    assert pipeline.publish()
    assert pipeline.row(series).state == SeriesState.DELIVERING, pipeline.row(series).last_error
    report = only_report(pipeline, row.id)
    assert not report.get(keyword)
    assert report.PatientID == dcmread(series.files[0]).PatientID
    check_told(pipeline)


def only_report(pipeline: Pipeline, series_id: int) -> Dataset:
    (delivery,) = deliveries(pipeline.db, series_id)
    (report,) = [one for one in delivery.objects if one.role.startswith("sr")]
    return dcmread(pipeline.folders.results / report.path)


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName", "PatientBirthDate", "PatientSex"])
def test_an_image_that_comes_again_with_an_unreadable_patient_has_another_one(
    pipeline: Pipeline, tmp_path: Path, keyword: str
) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files)
    before = set(pipeline.folders.spool.rglob("*.dcm"))
    change(series.files[0], lambda image: setattr(image, "StationName", "another"))
    pipeline.receive(series.files[:1])
    pipeline.quiet()
    (again,) = set(pipeline.folders.spool.rglob("*.dcm")) - before
    mislabel(again, keyword, *NO_VR)
    assert pipeline.assemble() and pipeline.publish()
    row = pipeline.row(series)
    assert row.reason_code == Reason.CHANGED_PATIENT and keyword in str(row.reason_detail)
    check_told(pipeline)


def test_a_header_that_breaks_after_assembly_is_refused_by_the_worker(pipeline: Pipeline, tmp_path: Path) -> None:
    """As on a disk that changes bytes: the series is refused, and the worker goes on."""
    series, files = received(pipeline, tmp_path)
    pipeline.assemble()
    mislabel(files[0], "SOPInstanceUID", b"FL", b"1.99")  # 0.000176..., which looks like a UID and is none
    work = (pipeline.db, pipeline.folders, pipeline.settings, lambda: None, "worker:1:analysis", pipeline.clock)
    assert analyse_next(*work, lambda: False)  # type: ignore[arg-type]
    row = pipeline.row(series)
    assert (row.state, row.reason_code) == (SeriesState.REFUSED, Reason.HEADER_UNREADABLE)


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID"])
def test_a_header_that_breaks_after_its_analysis_is_a_failed_try_of_publishing(
    pipeline: Pipeline, tmp_path: Path, keyword: str
) -> None:
    series, files = received(pipeline, tmp_path)
    pipeline.assemble()
    pipeline.conclude(series, no_lesion(series))
    mislabel_all(files, keyword, *NO_VR)
    assert pipeline.publish()
    row = pipeline.row(series)
    assert (row.state, row.attempts) == (SeriesState.ANALYSED, 1)
    assert keyword in str(row.last_error)


@pytest.mark.parametrize("error", sorted(DAMAGED, key=lambda one: one.__name__))
def test_whatever_pydicom_raises_is_an_error_of_the_series(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    with pytest.raises(NotAnalysable) as refusal, damage_refused():
        raise error("Doe^Jane")
    assert refusal.value.reason == Reason.HEADER_UNREADABLE
    assert error.__name__ in refusal.value.detail and "Doe" not in refusal.value.detail

    series, _ = received(pipeline, tmp_path)
    pipeline.assemble()
    pipeline.conclude(series, no_lesion(series))
    monkeypatch.setattr(publishing, "inspect_series", raising(error))
    assert pipeline.publish()
    assert pipeline.row(series).state == SeriesState.ANALYSED


def raising(error: type[Exception]) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error("damaged")

    return fail


def test_a_rule_for_urgent_series_whose_attribute_cannot_be_read_matches_nothing(tmp_path: Path) -> None:
    series = small_series(tmp_path)
    rules = [UrgentRule(attribute="StudyDescription", matches="."), UrgentRule(attribute="StudyID", matches="^1$")]
    mislabel(series.files[0], "StudyDescription", *NO_VR)
    assert not is_urgent(dcmread(series.files[0]), rules[:1])
    assert is_urgent(dcmread(series.files[0]), rules), "the other rule goes on to hold"


OTHER_TEXT: Sequence[tuple[str, bytes, bytes, bool]] = [
    ("PatientID", b"SH", b"P1", True),
    ("PatientID", b"IS", b"12", False),
    ("PatientID", b"PN", b"P^", False),
    ("PatientSex", b"LO", b"F ", True),
    ("PatientSex", b"AT", b"abcd", False),
]


@pytest.mark.parametrize(("keyword", "vr", "value", "legible"), OTHER_TEXT)
def test_other_plain_text_is_legible(tmp_path: Path, keyword: str, vr: bytes, value: bytes, legible: bool) -> None:
    file = small_series(tmp_path).files[0]
    mislabel(file, keyword, vr, value)
    header = dcmread(file)
    assert is_legible(header, keyword) == legible
    assert str(header[keyword].value)  # decoded now
    assert is_legible(header, keyword) == legible, "whether it has been decoded or not"
    if not legible:
        with pytest.raises(NotAnalysable, match=keyword):
            check_identifying(header)
