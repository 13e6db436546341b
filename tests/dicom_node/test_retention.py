"""The stage that deletes what is not to be kept: when it looks, what it does, and what it leaves for the next time."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dicom_node import retention
from dicom_node.retention import Retention, rules_of
from dicom_node.settings import Settings
from storage.commitment_requests import (
    CommitmentRequest,
    due_requests,
    postpone_report,
    record_request,
    request_overview,
)
from storage.retention import RetentionRules
from storage.retention_lock import deletions_held_up
from tests.support.ended import Template, make_done, spooled
from tests.support.pipeline import Pipeline

GIB = 1024**3
DAY_S = 86400.0


@pytest.fixture
def pipeline(template: Template, tmp_path: Path) -> Iterator[Pipeline]:
    with template.open_copy(tmp_path / "node") as opened:
        yield opened


class Stage:
    """The stage, on a monotonic clock that stands still until it is told to go on."""

    def __init__(self, pipeline: Pipeline, **retention_table: Any) -> None:
        self.seconds = 0.0
        settings = Settings.model_validate({"retention": {"spare_gib": 0.0, **retention_table}})
        self._step = Retention(pipeline.db, pipeline.folders, settings, pipeline.clock, lambda: self.seconds)

    def run(self) -> None:
        """As the router does: again while there is more."""
        while self._step():
            pass


def test_by_default_nothing_goes_while_there_is_space(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "free_bytes", lambda _: 10 * GIB)
    pipeline.clock.advance(1000 * DAY_S)
    Retention(pipeline.db, pipeline.folders, Settings(), pipeline.clock)()
    assert len(spooled(pipeline)) == 8


def test_by_default_images_go_before_reception_would_stop(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reception stops below 5 GiB; from 10 GiB on images of ended series make room, and results stay."""
    monkeypatch.setattr(retention, "free_bytes", lambda _: 10 * GIB - 1)
    Retention(pipeline.db, pipeline.folders, Settings(), pipeline.clock)()
    assert spooled(pipeline) == []
    assert len(list(pipeline.folders.results.rglob("*.dcm"))) == 2
    assert pipeline.audit("images-deleted")[0].detail["because"] == "free-space"


def test_settings_in_the_units_of_the_rules() -> None:
    table = {"source_days": 0.5, "source_gib": 2.0, "spare_gib": 1.0, "results_days": 3.0}
    rules = rules_of(Settings.model_validate({"retention": table, "receiver": {"minimum_free_gib": 4.0}}))
    assert rules.images_age is not None and rules.images_age.total_seconds() == 43200
    assert rules.results_age is not None and rules.results_age.total_seconds() == 3 * DAY_S
    assert (rules.images_bytes, rules.free_bytes) == (2 * GIB, 5 * GIB)
    kept = Settings.model_validate({"retention": {"spare_gib": 0.0}})
    assert rules_of(kept) == RetentionRules()


def test_images_go_as_soon_as_results_are_delivered(pipeline: Pipeline) -> None:
    Stage(pipeline, drop_source_when_delivered=True).run()
    assert spooled(pipeline) == []
    assert pipeline.audit("images-deleted")[0].detail["because"] == "delivered"


def test_it_looks_at_once_and_then_every_interval(pipeline: Pipeline) -> None:
    stage = Stage(pipeline, source_days=1.0, interval_s=60.0)
    stage.run()
    pipeline.clock.advance(DAY_S)
    stage.seconds = 59.0
    stage.run()
    assert len(spooled(pipeline)) == 8
    stage.seconds = 60.0
    stage.run()
    assert spooled(pipeline) == []


def test_requests_that_ended_long_ago_are_forgotten(pipeline: Pipeline) -> None:
    asked = CommitmentRequest("1.2.3", "CT1", "192.0.2.7", (("1.2.840", "1.1"),))
    record_request(pipeline.db, asked, pipeline.clock())
    (row,) = due_requests(pipeline.db, pipeline.clock())
    postpone_report(pipeline.db, row, "no connection", timedelta(0), 1, pipeline.clock())
    stage = Stage(pipeline, interval_s=60.0)
    pipeline.clock.advance(30 * DAY_S)
    stage.run()
    assert len(request_overview(pipeline.db)) == 1
    pipeline.clock.advance(1)
    stage.seconds = 60.0
    stage.run()
    assert request_overview(pipeline.db) == []


def test_all_that_is_due_goes_at_one_look(pipeline: Pipeline, tmp_path: Path) -> None:
    other = make_done(pipeline, tmp_path, "other")
    pipeline.clock.advance(DAY_S)
    Stage(pipeline, source_days=1.0, results_days=1.0).run()
    assert spooled(pipeline) == []
    assert list(pipeline.folders.results.rglob("*.dcm")) == []
    order = [entry.series_instance_uid for entry in pipeline.audit("images-deleted")]
    assert len(order) == 2 and order[1] == other.uid, "oldest end first"


def test_what_is_held_up_by_a_backup_goes_at_the_next_look(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(pipeline, drop_source_when_delivered=True, interval_s=60.0)
    monkeypatch.setattr(
        "storage.deletion.deletions_held_up", lambda root: deletions_held_up(root, patience_s=0.0)
    )
    with deletions_held_up(pipeline.folders.root):
        stage.run()
        assert len(spooled(pipeline)) == 8
    stage.seconds = 60.0
    stage.run()
    assert spooled(pipeline) == []
