"""A storage folder with its config.toml, empty or with a series in one state or another."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from storage.jobs import ResultObject, claim_series, fail, publish
from storage.outbox import claim_delivery, postpone_delivery
from storage.series import complete_series
from storage.states import SeriesState
from tests.dicom_node.commands.called_node import CONFIG, Site
from tests.support.head_series import HeadSeries
from tests.support.pipeline import LEASE, no_lesion, open_pipeline, small_series
from tests.support.ports import free_port

RESULT = ResultObject("sr", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.4", "1.2.3", "a.dcm", "ab" * 32, 10)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    port, away = free_port(), free_port()
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(port=port, away=away))
    with open_pipeline(tmp_path / "node") as pipeline:
        yield Site(config, pipeline, port)


@pytest.fixture
def received(site: Site, tmp_path: Path) -> HeadSeries:
    """A series of eight slices from CT1."""
    series = small_series(tmp_path)
    site.pipeline.receive(series.files)
    return series


@pytest.fixture
def failed(site: Site, received: HeadSeries) -> HeadSeries:
    """A series that was set aside as failed when it was inspected."""
    pipeline = site.pipeline
    pipeline.quiet()
    pipeline.assemble()
    claim = claim_series(pipeline.db, SeriesState.QUEUED, "worker:1:analysis", pipeline.clock(), LEASE)
    assert claim is not None
    fail(pipeline.db, claim, "attempts-used-up", "no memory [cuda]", pipeline.clock())
    return received


@pytest.fixture
def uninspected(site: Site, received: HeadSeries) -> HeadSeries:
    """A series that could not even be inspected."""
    pipeline = site.pipeline
    pipeline.quiet()
    complete_series(pipeline.db, pipeline.clock(), timedelta(0))
    claim = claim_series(pipeline.db, SeriesState.COMPLETE, "router:1:assembly", pipeline.clock(), LEASE)
    assert claim is not None
    fail(pipeline.db, claim, "attempts-used-up", "input/output error", pipeline.clock())
    return received


@pytest.fixture
def delivering(site: Site, received: HeadSeries) -> HeadSeries:
    """A series whose results the PACS has not taken at the first try; the next one is due in an hour."""
    pipeline, db = site.pipeline, site.pipeline.db
    pipeline.quiet()
    pipeline.assemble()
    pipeline.conclude(received, no_lesion(received))
    claim = claim_series(db, SeriesState.ANALYSED, "router:1:publishing", pipeline.clock(), LEASE)
    assert claim is not None
    publish(db, claim, [RESULT], {"pacs": [RESULT.role]}, pipeline.clock())
    delivery = claim_delivery(db, "pacs", "router:1:pacs", pipeline.clock(), LEASE)
    assert delivery is not None
    postpone_delivery(db, delivery, "no connection", timedelta(hours=1), 48, pipeline.clock())
    return received
