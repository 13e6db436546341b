"""Series that have come to an end: done, with results that a PACS has taken, or not analysed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from glianet.findings import Findings
from storage.outbox import claim_delivery, delivered
from storage.states import SeriesState
from tests.support.head_series import HeadSeries
from tests.support.pipeline import Pipeline, one_lesion, open_pipeline, small_series


def finish(pipeline: Pipeline, series: HeadSeries, findings: Findings | None = None) -> None:
    """A series that was received is decided on, analysed, published and delivered."""
    pipeline.analyse(series, findings or one_lesion(series))
    take_results(pipeline)
    assert pipeline.row(series).state == SeriesState.DONE


def make_done(pipeline: Pipeline, folder: Path, name: str = "small") -> HeadSeries:
    """A new series that is DONE."""
    series = small_series(folder, name)
    pipeline.receive(series.files)
    finish(pipeline, series)
    return series


def make_not_analysed(pipeline: Pipeline, folder: Path, name: str = "short", *, slices: int = 3) -> HeadSeries:
    """A new series of too few slices, of which nobody is told."""
    series = small_series(folder, name)
    pipeline.receive(series.files[:slices])
    pipeline.quiet()
    pipeline.assemble()
    pipeline.publish()
    assert pipeline.row(series).state == SeriesState.NOT_ANALYSED
    return series


def take_results(pipeline: Pipeline, *destinations: str) -> None:
    """The destinations take what waits for them."""
    for name in destinations or ("pacs",):
        claim = claim_delivery(pipeline.db, name, f"router:1:{name}", pipeline.clock(), timedelta(minutes=5))
        assert claim is not None
        delivered(pipeline.db, claim, [], pipeline.clock())


def spooled(pipeline: Pipeline) -> list[str]:
    """Relative paths of the images that are in the spool."""
    return sorted(pipeline.spool.files())


@dataclass(frozen=True)
class Template:
    """A storage folder in which a series has ended, to be copied: making one takes a second."""

    folder: Path
    series: HeadSeries
    now: datetime

    @contextmanager
    def open_copy(self, folder: Path) -> Iterator[Pipeline]:
        """The stages on a copy of the folder."""
        with open_pipeline(folder) as pipeline:
            pipeline.db.close()
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
            pipeline.clock.now = self.now
            yield pipeline


def make_template(folder: Path) -> Template:
    """A storage folder with one series that is DONE."""
    with open_pipeline(folder / "node") as pipeline:
        series = make_done(pipeline, folder)
        return Template(folder / "node", series, pipeline.clock.now)
