"""A node whose audit log is followed, and one whose series are told of row by row."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.atna.narrator import Narrator
from dicom_node.atna.reporter import Reporter
from dicom_node.settings import Settings
from storage.database import open_database
from tests.support.followed_log import Site
from tests.support.head_series import HeadSeries
from tests.support.pipeline import Pipeline, small_series
from tests.support.told_rows import KEY


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    atna = {"enabled": True, "first_delay_s": 2.0, "maximum_delay_s": 10.0}
    settings = Settings.model_validate({"storage": {"folder": tmp_path}, "atna": atna})
    db = open_database(tmp_path / "node.sqlite3")
    yield Site(db, settings)
    db.close()


@pytest.fixture
def series(pipeline: Pipeline, tmp_path: Path) -> HeadSeries:
    """Received whole."""
    one = small_series(tmp_path)
    pipeline.receive(one.files)
    return one


@pytest.fixture
def narrator(pipeline: Pipeline) -> Narrator:
    return Narrator(Reporter.of(pipeline.settings, "node1"), pipeline.db, pipeline.folders, KEY)
