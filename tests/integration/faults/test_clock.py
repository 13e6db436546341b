"""The clock on the wall is set by hours and a day, back and forth, while series are under way."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from glianet.findings import save_findings
from storage.audit import verify
from storage.jobs import claim_series, conclude_analysis, postpone, release_leases
from storage.outbox import claim_delivery, deliveries, postpone_delivery
from storage.recovery import follow_clock, newest_time
from storage.series import SeriesRow
from storage.states import SeriesState
from tests.support.head_series import HeadSeries
from tests.support.pipeline import Pipeline, accepted, one_lesion, open_pipeline, small_series

DAY = timedelta(days=1)
LEASE = timedelta(minutes=2)
DELAY = timedelta(seconds=30)
OWNER = "worker:1:analysis"


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with open_pipeline(tmp_path / "node") as opened:
        yield opened
        assert verify(opened.db).ok


def set_clock(pipeline: Pipeline, by: timedelta) -> None:
    """As the supervisor, which is told of steps back and follows."""
    pipeline.clock.now += by
    if by < timedelta():
        follow_clock(pipeline.db, -by, pipeline.clock())


def test_a_day_back_in_the_middle_of_reception_does_not_make_a_series_wait_for_a_day(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files[:4])
    set_clock(pipeline, -DAY)
    pipeline.receive(series.files[4:])
    assert not pipeline.assemble()
    pipeline.quiet()
    assert pipeline.assemble()
    assert pipeline.row(series).state == SeriesState.QUEUED
    assert pipeline.audit("clock-set-back")[0].detail == {"seconds": DAY.total_seconds()}


def test_a_day_forth_closes_a_series_early_and_the_rest_opens_it_again(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    series = small_series(tmp_path)
    pipeline.receive(series.files[:4])
    set_clock(pipeline, DAY)
    pipeline.assemble()
    pipeline.receive(series.files[4:])
    assert (pipeline.row(series).state, pipeline.row(series).revision) == (SeriesState.RECEIVING, 2)
    pipeline.quiet()
    pipeline.assemble()
    assert pipeline.row(series).state == SeriesState.QUEUED
    assert pipeline.row(series).instance_count == len(series.files)


@pytest.mark.parametrize("by", [-DAY, timedelta(hours=-1), timedelta(hours=1), DAY])
def test_the_worker_that_holds_a_series_ends_it_whatever_the_clock_does(
    pipeline: Pipeline, tmp_path: Path, by: timedelta
) -> None:
    """There is one worker, and it is busy: a lease that ran out by the clock alone is taken over by nobody."""
    series = accepted(pipeline, tmp_path)
    claim = take(pipeline)
    set_clock(pipeline, by)
    conclude(pipeline, claim, series)
    assert pipeline.publish()
    assert pipeline.row(series).state == SeriesState.DELIVERING
    assert len(pipeline.audit("series-analysed")) == len(pipeline.audit("results-published")) == 1


@pytest.mark.parametrize("by", [-DAY, DAY])
def test_a_worker_that_dies_after_the_clock_was_set_is_followed_at_once(
    pipeline: Pipeline, tmp_path: Path, by: timedelta
) -> None:
    series = accepted(pipeline, tmp_path)
    take(pipeline)
    set_clock(pipeline, by)
    release_leases(pipeline.db, "worker:", pipeline.clock(), crashed=True)
    conclude(pipeline, take(pipeline), series)
    assert pipeline.row(series).state == SeriesState.ANALYSED


def test_a_postponed_series_waits_no_longer_for_a_clock_that_was_set_back(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    accepted(pipeline, tmp_path)
    postpone(pipeline.db, take(pipeline), "no memory", DELAY, 3, pipeline.clock())
    set_clock(pipeline, -DAY)
    assert claim_series(pipeline.db, SeriesState.QUEUED, OWNER, pipeline.clock(), LEASE) is None
    pipeline.clock.now += DELAY
    take(pipeline)


def test_a_postponed_delivery_too(pipeline: Pipeline, tmp_path: Path) -> None:
    series = accepted(pipeline, tmp_path)
    conclude(pipeline, take(pipeline), series)
    pipeline.publish()
    claim = claim_delivery(pipeline.db, "pacs", "router:1:pacs", pipeline.clock(), LEASE)
    assert claim is not None
    postpone_delivery(pipeline.db, claim, "away", DELAY, 48, pipeline.clock())
    set_clock(pipeline, -DAY)
    pipeline.clock.now += DELAY
    assert claim_delivery(pipeline.db, "pacs", "router:1:pacs", pipeline.clock(), LEASE) is not None
    (row,) = deliveries(pipeline.db, pipeline.row(series).id)
    assert row.attempts == 2


def test_the_newest_row_tells_a_start_that_the_clock_was_set_back_meanwhile(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    assert newest_time(pipeline.db) is None
    accepted(pipeline, tmp_path)
    assert newest_time(pipeline.db) == pipeline.clock()


def take(pipeline: Pipeline) -> SeriesRow:
    claim = claim_series(pipeline.db, SeriesState.QUEUED, OWNER, pipeline.clock(), LEASE)
    assert claim is not None
    return claim


def conclude(pipeline: Pipeline, claim: SeriesRow, series: HeadSeries) -> None:
    findings = one_lesion(series)
    save_findings(findings, pipeline.folders.findings / "found.npz")
    conclude_analysis(pipeline.db, claim, "found.npz", findings.weights_sha256, 1, {}, pipeline.clock())
