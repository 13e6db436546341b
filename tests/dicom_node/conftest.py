"""What the tests of the node share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pipeline import Pipeline, open_pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """The stages of a node on an empty storage folder."""
    with open_pipeline(tmp_path / "node") as opened:
        yield opened
