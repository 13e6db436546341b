"""Series that were analysed before: which documents name which as replaced, and which UIDs come again."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import EnhancedSRStorage

from dicom_node import publishing
from dicom_node.encoding import encode_results, key_images
from dicom_node.encoding.pages.sheet import Picture
from dicom_node.reasons import Reason
from glianet.findings import Findings
from storage.abandoning import GivingUp, abandon_series
from storage.jobs import claim_series, fail, release_leases
from storage.outbox import claim_delivery, deliveries, earlier_deliveries
from storage.reanalysis import reanalyse
from storage.rows import DeliveryRow
from storage.states import SeriesState
from tests.support.ended import take_results
from tests.support.head_series import HeadSeries
from tests.support.pipeline import Pipeline, accepted, no_lesion, one_lesion, open_pipeline, small_series
from tests.support.results import replaced_by

PACS: dict[str, Any] = {"ae_title": "PACS", "host": "127.0.0.1", "port": 4242}


@pytest.fixture
def series(pipeline: Pipeline, tmp_path: Path) -> HeadSeries:
    """A series whose results, by the first weights, have been delivered."""
    found = accepted(pipeline, tmp_path)
    pipeline.conclude(found, by_weights(found, "ab"))
    pipeline.publish()
    take_results(pipeline, "pacs")
    return found


def by_weights(series: HeadSeries, weights: str) -> Findings:
    return replace(one_lesion(series), weights_sha256=weights * 32)


def analyse_again(pipeline: Pipeline, series: HeadSeries, weights: str) -> None:
    reanalyse(pipeline.db, series.uid, "user:jo", pipeline.clock())
    pipeline.clock.advance(3600)
    pipeline.analyse(series, by_weights(series, weights))


def last_delivery(pipeline: Pipeline, series: HeadSeries, destination: str = "pacs") -> DeliveryRow:
    rows = deliveries(pipeline.db, pipeline.row(series).id)
    return [row for row in rows if row.destination == destination][-1]


def report_of(pipeline: Pipeline, delivery: DeliveryRow) -> Dataset:
    (report,) = [one for one in delivery.objects if one.role.startswith("sr")]
    return dcmread(pipeline.folders.results / report.path)


def last_report(pipeline: Pipeline, series: HeadSeries, destination: str = "pacs") -> Dataset:
    return report_of(pipeline, last_delivery(pipeline, series, destination))


def test_a_report_with_other_weights_names_the_one_that_it_replaces(pipeline: Pipeline, series: HeadSeries) -> None:
    first = last_report(pipeline, series)
    assert "PredecessorDocumentsSequence" not in first
    analyse_again(pipeline, series, "cd")
    second = last_report(pipeline, series)
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert second.SeriesInstanceUID != first.SeriesInstanceUID
    (study,) = second.PredecessorDocumentsSequence
    (referenced,) = study.ReferencedSeriesSequence
    (document,) = referenced.ReferencedSOPSequence
    assert study.StudyInstanceUID == series.study_uid
    assert referenced.SeriesInstanceUID == first.SeriesInstanceUID
    assert document.ReferencedSOPClassUID == first.SOPClassUID
    assert document.ReferencedSOPInstanceUID == first.SOPInstanceUID
    comments = [item.TextValue for item in second.ContentSequence if item.ValueType == "TEXT"]
    assert any("replaces an earlier one" in comment for comment in comments)


def test_the_same_analysis_again_gives_the_same_bytes(pipeline: Pipeline, series: HeadSeries) -> None:
    """Concluded at another time, under the same UIDs: what went out before goes out again."""
    first = last_delivery(pipeline, series)
    analyse_again(pipeline, series, "ab")
    second = last_delivery(pipeline, series)
    assert (first.revision, second.revision) == (1, 2)
    assert [one.sha256 for one in second.objects] == [one.sha256 for one in first.objects]
    assert [one.path for one in second.objects] != [one.path for one in first.objects]


def test_the_first_analysis_that_comes_back_is_the_last_word_again(pipeline: Pipeline, series: HeadSeries) -> None:
    """Weights A, B, A, A, B: each document that differs from the one before it is new and names that one."""
    reports = [last_report(pipeline, series)]
    for weights in ("cd", "ab", "ab", "cd"):
        analyse_again(pipeline, series, weights)
        take_results(pipeline, "pacs")
        reports.append(last_report(pipeline, series))
    uids = [str(report.SOPInstanceUID) for report in reports]
    assert uids[2] == uids[3]
    assert len({uids[0], uids[1], uids[2], uids[4]}) == 4
    assert [replaced_by(report) for report in reports] == [set(), {uids[0]}, {uids[1]}, {uids[1]}, {uids[2]}]
    assert len({str(report.SeriesInstanceUID) for report in reports}) == 4


def test_what_was_never_tried_has_no_successor(pipeline: Pipeline, tmp_path: Path) -> None:
    """A late slice withdraws the results before they were sent: no archive knows them."""
    series = small_series(tmp_path)
    pipeline.receive(series.files[:-1])
    pipeline.quiet()
    pipeline.assemble()
    pipeline.conclude(series, one_lesion(series))
    pipeline.receive(series.files[-1:])
    row = pipeline.row(series)
    assert row.revision == 2
    assert earlier_deliveries(pipeline.db, row.id, 2) == []


def test_each_destination_is_told_what_replaces_the_report_that_it_has(tmp_path: Path) -> None:
    """A late slice withdraws the second report from one of two; the third replaces the second here, the first there."""
    tables = [{**PACS, "name": name} for name in ("here", "there")]
    with open_pipeline(tmp_path / "node", destination=tables) as pipeline:
        series = small_series(tmp_path)
        early = HeadSeries(series.hu[:-1], series.affine, series.files[:-1])
        pipeline.receive(early.files)
        pipeline.analyse(early, by_weights(early, "ab"))
        take_results(pipeline, "here", "there")
        first = last_report(pipeline, series, "here")
        analyse_again(pipeline, early, "cd")
        take_results(pipeline, "here")
        second = last_report(pipeline, series, "here")
        pipeline.receive(series.files[-1:])
        pipeline.analyse(series, by_weights(series, "cd"))
        third = last_report(pipeline, series, "there")
    assert replaced_by(second) == {first.SOPInstanceUID}
    assert replaced_by(third) == {first.SOPInstanceUID, second.SOPInstanceUID}


def test_a_report_in_another_form_replaces_the_one_that_the_destination_has(
    pipeline: Pipeline, series: HeadSeries
) -> None:
    """The same analysis, sent as another SOP Class since the setting changed."""
    first = last_report(pipeline, series)
    (destination,) = pipeline.settings.destinations
    enhanced = destination.model_copy(update={"report_form": "enhanced"})
    pipeline.settings = pipeline.settings.model_copy(update={"destination": (enhanced,)})
    analyse_again(pipeline, series, "ab")
    second = last_report(pipeline, series)
    assert second.SOPClassUID == EnhancedSRStorage
    assert replaced_by(second) == {first.SOPInstanceUID}


def test_pages_say_that_they_replace_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    footers: list[list[str]] = []
    draw = key_images.statement_page

    def noting(title: str, sentences: list[str], footer: list[str]) -> Picture:
        footers.append(footer)
        return draw(title, sentences, footer)

    monkeypatch.setattr(key_images, "statement_page", noting)
    table = {**PACS, "name": "pacs", "profile": "viewer-without-seg"}
    with open_pipeline(tmp_path / "node", destination=[table]) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, no_lesion(series))
        pipeline.publish()
        take_results(pipeline, "pacs")
        reanalyse(pipeline.db, series.uid, "user:jo", pipeline.clock())
        pipeline.analyse(series, replace(no_lesion(series), weights_sha256="cd" * 32))
    first, second = footers
    assert len(first) == 1
    assert second[1:] == ["Replaces earlier results about the same series."]


def test_other_findings_are_another_analysis(pipeline: Pipeline, series: HeadSeries) -> None:
    """The same weights and settings, but another machine or program: no report must say what another one found."""
    first = last_report(pipeline, series)
    reanalyse(pipeline.db, series.uid, "user:jo", pipeline.clock())
    pipeline.analyse(series, replace(no_lesion(series), weights_sha256="ab" * 32))
    second = last_report(pipeline, series)
    assert [one.role for one in last_delivery(pipeline, series).objects] == ["sr"]
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert replaced_by(second) == {first.SOPInstanceUID}
    summaries = [item.TextValue for item in second.ContentSequence if item.ValueType == "TEXT"]
    assert any("No aneurysm candidate found" in text for text in summaries)


def test_who_was_told_of_an_analysis_is_told_that_it_no_longer_holds(pipeline: Pipeline, series: HeadSeries) -> None:
    """A refusal that would not be worth a report by itself: a second phase came under the same Series Instance UID."""
    first = last_report(pipeline, series)
    selection = pipeline.settings.selection.model_copy(update={"minimum_slices": 60})
    pipeline.settings = pipeline.settings.model_copy(update={"selection": selection})
    reanalyse(pipeline.db, series.uid, "user:jo", pipeline.clock())
    pipeline.quiet()
    pipeline.assemble()
    assert pipeline.row(series).reason_code == "too-few-slices"
    assert pipeline.publish()
    second = last_report(pipeline, series)
    assert replaced_by(second) == {first.SOPInstanceUID}


def test_a_second_analysis_that_was_given_up_leaves_the_first_ones_report(
    pipeline: Pipeline, series: HeadSeries
) -> None:
    """The images are the same, and the first report holds for them; the next analysis replaces both."""
    first = last_report(pipeline, series)
    reanalyse(pipeline.db, series.uid, "user:jo", pipeline.clock())
    pipeline.quiet()
    pipeline.assemble()
    claim = claim_series(pipeline.db, SeriesState.QUEUED, "worker:1", pipeline.clock(), timedelta(hours=1))
    assert claim is not None
    fail(pipeline.db, claim, "cannot-compute", "no such precision", pipeline.clock())
    giving_up = GivingUp("user:jo", pipeline.clock(), "old card", Reason.ABANDONED, Reason.CONFLICTING_INSTANCES)
    abandon_series(pipeline.db, series.uid, giving_up)
    assert pipeline.publish()
    second = last_report(pipeline, series)
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert "PredecessorDocumentsSequence" not in second
    take_results(pipeline, "pacs")
    analyse_again(pipeline, series, "cd")
    assert replaced_by(last_report(pipeline, series)) == {first.SOPInstanceUID, second.SOPInstanceUID}


def test_no_report_of_an_analysis_replaces_another_one_of_it(pipeline: Pipeline, series: HeadSeries) -> None:
    """A destination that is new gets another form; the first one's report holds and is sent again."""
    (first,) = pipeline.settings.destinations
    second = first.model_copy(update={"name": "old", "report_form": "enhanced"})
    pipeline.settings = pipeline.settings.model_copy(update={"destination": (first, second)})
    analyse_again(pipeline, series, "ab")
    assert replaced_by(last_report(pipeline, series, "old")) == set()


def test_what_may_have_arrived_before_a_crash_is_replaced(pipeline: Pipeline, tmp_path: Path) -> None:
    """The router died after it had sent, before it said so; its attempt is given back, and a late slice comes."""
    series = small_series(tmp_path)
    early = HeadSeries(series.hu[:-1], series.affine, series.files[:-1])
    pipeline.receive(early.files)
    pipeline.analyse(early, by_weights(early, "ab"))
    assert claim_delivery(pipeline.db, "pacs", "router:1:pacs", pipeline.clock(), timedelta(minutes=5)) is not None
    first = last_report(pipeline, series)
    release_leases(pipeline.db, None, pipeline.clock(), crashed=False)
    assert last_delivery(pipeline, series).attempts == 0
    pipeline.receive(series.files[-1:])
    pipeline.analyse(series, by_weights(series, "ab"))
    assert replaced_by(last_report(pipeline, series)) == {first.SOPInstanceUID}


def test_pages_of_words_have_a_series_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that can be made one day do not follow "could not be made" in one series."""
    table = {**PACS, "name": "pacs", "profile": "viewer-without-seg", "pdf": "on"}
    with open_pipeline(tmp_path / "node", destination=[table]) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, by_weights(series, "ab"))
        with monkeypatch.context() as broken:
            broken.setattr(encode_results, "read_volume", _no_pixels)
            for _ in range(publishing.MAXIMUM_ATTEMPTS):
                pipeline.publish()
                pipeline.clock.advance(3600)
        take_results(pipeline, "pacs")
        words = last_delivery(pipeline, series).objects
        analyse_again(pipeline, series, "ab")
        pictures = last_delivery(pipeline, series).objects
    assert [one.role for one in words] == ["sr", "key-image-words", "pdf-words"]
    assert [one.role for one in pictures] == ["sr", "key-image-1", "key-image-2", "pdf"]
    of_words, of_pictures = ({one.series_instance_uid for one in objects[1:]} for objects in (words, pictures))
    assert len(of_words) == len(of_pictures) == 2
    assert not of_words & of_pictures
    assert words[0].sha256 == pictures[0].sha256, "the report is the same"


def _no_pixels(_: object) -> None:
    raise MemoryError
