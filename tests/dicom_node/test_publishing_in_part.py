"""Results of which some cannot be made: tried again first; at the last attempt the others go out without them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dicom_node import publishing
from dicom_node.encoding import encode_results
from dicom_node.errors import NodeError
from storage.jobs import retry
from storage.outbox import deliveries
from storage.states import DeliveryState, SeriesState
from tests.support.ended import take_results
from tests.support.head_series import HeadSeries
from tests.support.pipeline import Pipeline, accepted, no_lesion, one_lesion, open_pipeline, refused

PACS: dict[str, Any] = {"ae_title": "PACS", "host": "127.0.0.1", "port": 4242}
STANDARD = {**PACS, "name": "standard"}
VIEWER = {**PACS, "name": "viewer", "profile": "viewer-without-seg"}
ENHANCED = {**PACS, "name": "old", "report_form": "enhanced"}


def failing(*_: object, **__: object) -> None:
    raise MemoryError


def publish_to_the_last(pipeline: Pipeline, series: HeadSeries) -> dict[str, list[str]]:
    """The roles of each delivery, after as many attempts as there are."""
    for _ in range(publishing.MAXIMUM_ATTEMPTS):
        assert deliveries(pipeline.db, pipeline.row(series).id) == []
        assert pipeline.publish()
        pipeline.clock.advance(3600)
    rows = deliveries(pipeline.db, pipeline.row(series).id)
    return {row.destination: [one.role for one in row.objects] for row in rows}


def published(pipeline: Pipeline) -> dict[str, Any]:
    (event,) = pipeline.audit("results-published")
    return event.detail


def test_a_page_of_words_stands_for_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_results, "read_volume", failing)
    tables = [STANDARD, {**VIEWER, "pdf": "on"}]
    with open_pipeline(tmp_path / "node", destination=tables) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, one_lesion(series))
        assert publish_to_the_last(pipeline, series) == {
            "standard": ["seg", "sr"],
            "viewer": ["sr", "key-image-words", "pdf-words"],
        }
        assert published(pipeline)["left_out"] == {"key-image": "MemoryError", "pdf": "MemoryError"}


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ("encode_presentation_state", "presentation-state"),
        ("encode_pdf", "pdf"),
    ],
)
def test_one_kind_that_fails_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, kind: str
) -> None:
    monkeypatch.setattr(encode_results, broken, failing)
    with open_pipeline(tmp_path / "node", destination=[{**PACS, "name": "all", "profile": "archive"}]) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, one_lesion(series))
        roles = publish_to_the_last(pipeline, series)["all"]
        expected = ["seg", "sr", "key-image-1", "key-image-2", "pdf", "presentation-state"]
        assert roles == [role for role in expected if role != kind]
        assert published(pipeline)["left_out"][kind] == "MemoryError"


def test_a_form_that_fails_holds_up_only_who_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are served; the series ends as failed, and says who got nothing, why, and what to do."""
    monkeypatch.setattr(encode_results, "encode_report", all_but("enhanced", encode_results.encode_report))
    with open_pipeline(tmp_path / "node", destination=[STANDARD, ENHANCED]) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, one_lesion(series))
        assert publish_to_the_last(pipeline, series) == {"old": [], "standard": ["seg", "sr"]}, "no SEG without words"
        old, standard = deliveries(pipeline.db, pipeline.row(series).id)
        assert (old.state, standard.state) == (DeliveryState.FAILED, DeliveryState.PENDING)
        take_results(pipeline, "standard")
        row = pipeline.row(series)
        assert row.state == SeriesState.FAILED
        assert "old: what it is to be told could not be made" in (row.reason_detail or "")
        assert "sr-enhanced: enhanced: not today" in (row.reason_detail or "")
        assert "dicom-node reanalyse" in (row.reason_detail or "")
        assert list(published(pipeline)["unserved"]) == ["old"]


def test_a_delivery_without_anything_to_send_is_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_results, "encode_refusal", all_but("enhanced", encode_results.encode_refusal))
    with open_pipeline(tmp_path / "node", destination=[STANDARD, ENHANCED]) as pipeline:
        series = refused(pipeline, tmp_path, defect=True)
        assert publish_to_the_last(pipeline, series) == {"old": [], "standard": ["sr"]}
        take_results(pipeline, "standard")
        assert pipeline.row(series).state == SeriesState.FAILED
        assert retry(pipeline.db, series.uid, "user:jo", pipeline.clock()) == []
        assert pipeline.row(series).state == SeriesState.FAILED


def test_a_segmentation_stands_without_the_report_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same form, for a destination of overlays alone."""
    monkeypatch.setattr(encode_results, "encode_report", all_but("enhanced", encode_results.encode_report))
    overlay = {**PACS, "name": "overlay", "report": "off"}
    with open_pipeline(tmp_path / "node", destination=[overlay, ENHANCED]) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, one_lesion(series))
        assert publish_to_the_last(pipeline, series) == {"old": [], "overlay": ["seg"]}


def test_a_segmentation_that_fails_is_missed_by_who_wants_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = encode_results.encode_segmentations

    def all_but_labelmaps(*arguments: Any) -> Any:
        if arguments[-1].kind == "labelmap":
            raise NodeError("not today", where="labelmap")
        return encode(*arguments)

    monkeypatch.setattr(encode_results, "encode_segmentations", all_but_labelmaps)
    overlay = {**PACS, "name": "overlay", "report": "off", "segmentation_type": "labelmap"}
    with open_pipeline(tmp_path / "node", destination=[STANDARD, overlay]) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, one_lesion(series))
        assert publish_to_the_last(pipeline, series) == {"overlay": [], "standard": ["seg", "sr"]}
        take_results(pipeline, "standard")
        assert pipeline.row(series).state == SeriesState.FAILED


def test_where_the_only_one_to_be_told_is_unserved_the_series_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was found, so that the other destination, of overlays, gets nothing either."""
    monkeypatch.setattr(encode_results, "encode_report", all_but("enhanced", encode_results.encode_report))
    overlay = {**PACS, "name": "overlay", "report": "off", "segmentation_type": "labelmap"}
    with open_pipeline(tmp_path / "node", destination=[ENHANCED, overlay]) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, no_lesion(series))
        assert publish_to_the_last(pipeline, series) == {}
        assert pipeline.row(series).state == SeriesState.FAILED


def test_where_nobody_can_be_told_the_series_is_set_aside_and_encoded_anew_on_retry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_pipeline(tmp_path / "node", destination=[ENHANCED]) as pipeline:
        series = accepted(pipeline, tmp_path)
        pipeline.conclude(series, one_lesion(series))
        with monkeypatch.context() as broken:
            broken.setattr(encode_results, "encode_report", failing)
            assert publish_to_the_last(pipeline, series) == {}
        row = pipeline.row(series)
        assert (row.state, row.failed_from) == (SeriesState.FAILED, SeriesState.ANALYSED)
        retry(pipeline.db, series.uid, "user:jo", pipeline.clock())
        assert pipeline.publish()
        (delivery,) = deliveries(pipeline.db, row.id)
        assert [one.role for one in delivery.objects] == ["seg", "sr-enhanced"]


def all_but(form: str, encode: Callable[..., Any]) -> Callable[..., Any]:
    """`encode`, but for reports of a form."""

    def encoding(*arguments: Any) -> Any:
        if str(arguments[-1]).endswith(form):
            raise NodeError("not today", where=form)
        return encode(*arguments)

    return encoding
