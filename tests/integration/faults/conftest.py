"""What the fault tests share: a small series, and the results that an undisturbed run has."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.support.archive import TestArchive, running_archive
from tests.support.faults_plan import Plan
from tests.support.faults_run import Ordeal
from tests.support.head_series import HeadSeries, make_head_series

SHAPE = (4, 14, 12)


@dataclass(frozen=True)
class Calm:
    """A run without faults: its series, its results' UIDs by modality, and how often each point was passed."""

    series: HeadSeries
    results: dict[str, str]
    passed: dict[str, int]


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """The yardstick: whatever happens, these results come out."""
    folder = tmp_path_factory.mktemp("calm")
    hu = np.random.default_rng(5).integers(0, 300, SHAPE).astype(np.int16)
    hu[:, :4] = -1000  # air
    series = make_head_series(folder, "ordeal", hu=hu)
    with running_archive() as archive:
        ordeal = Ordeal(folder, series, archive)
        life = ordeal.live(Plan())
        assert life.ended and life.exit_status == 0, life
        results = {str(one.Modality): str(one.SOPInstanceUID) for one in archive.objects()}
        assert sorted(results) == ["SEG", "SR"]
        ordeal.check_end(results)
    return Calm(series, results, life.passed)


@pytest.fixture
def new_ordeal(tmp_path: Path, calm: Calm) -> Iterator[Callable[[], Ordeal]]:
    """Gives an empty storage folder and archive each time it is called."""
    archives: list[TestArchive] = []

    def make() -> Ordeal:
        archive = TestArchive()
        archive.start()
        archives.append(archive)
        folder = tmp_path / str(len(archives))
        folder.mkdir()
        return Ordeal(folder, calm.series, archive)

    yield make
    for archive in archives:
        archive.stop()
