"""The short form of tests/benchmarks/soak.py: nothing is lost, whatever the figures."""

import warnings
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import dcmread

from tests.benchmarks.soak import run_soak
from tests.benchmarks.soak_checks import check_results
from tests.support.archive import TestArchive
from tests.support.ended import finish
from tests.support.head_series import HeadSeries
from tests.support.node import QUIET_S
from tests.support.pipeline import Pipeline, one_lesion, open_pipeline, small_series


def test_senders_at_once_slow_ones_and_some_that_break_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More at once than there are places: who is rejected for the moment asks again."""
    name_reopened(run_soak(tmp_path, 14, (8, 16, 16), burst=6, places=10))
    assert "nothing lost: 22 series, 176 instances" in capsys.readouterr().out


@pytest.mark.stress
@pytest.mark.timeout(3600)
def test_a_day_of_a_hospital(tmp_path: Path) -> None:
    name_reopened(run_soak(tmp_path, 20, (400, 512, 512), burst=50))


def name_reopened(series: list[str]) -> None:
    """Right, and worth a look: the machine stood still for longer than assembly.quiet_s."""
    for sentence in series:
        warnings.warn(f"re-opened: {sentence}", stacklevel=2)


@pytest.mark.parametrize("silent_s", [QUIET_S, 1.0])
def test_a_series_that_was_reopened_is_named_where_it_had_fallen_silent(
    tmp_path: Path, silent_s: float
) -> None:
    with open_pipeline(tmp_path / "node", assembly={"quiet_s": silent_s}) as pipeline:
        series = small_series(tmp_path)
        early = HeadSeries(series.hu[:6], series.affine, series.files[:6])
        pipeline.receive(early.files)
        finish(pipeline, early, one_lesion(early))
        assert check_all(pipeline, early) == []
        pipeline.receive(series.files[6:])
        finish(pipeline, series)
        if silent_s < QUIET_S:
            with pytest.raises(AssertionError, match="was re-opened after"):
                check_all(pipeline, series)
        else:
            told = f"{series.uid}: silent for 30 s, 2 objects were sent before the rest"
            assert check_all(pipeline, series) == [told]


@pytest.mark.parametrize("problem", ["absent", "belong to no revision"])
def test_an_archive_that_holds_other_than_one_set_of_results(tmp_path: Path, problem: str) -> None:
    with open_pipeline(tmp_path / "node") as pipeline:
        series = small_series(tmp_path)
        pipeline.receive(series.files)
        finish(pipeline, series)
        archive = archive_of(pipeline)
        if problem == "absent":
            archive.copies.popitem()
        else:
            archive.copies["again"] = [under_another_uid(*next(iter(archive.copies.values())))]
        with pytest.raises(AssertionError, match=problem):
            check_results(node_of(pipeline), archive, [series])


def under_another_uid(result: bytes) -> bytes:
    data_set, other = dcmread(BytesIO(result)), BytesIO()
    data_set.SOPInstanceUID += ".1"
    data_set.save_as(other)
    return other.getvalue()


def check_all(pipeline: Pipeline, series: HeadSeries) -> list[str]:
    return check_results(node_of(pipeline), archive_of(pipeline), [series])


def node_of(pipeline: Pipeline) -> Any:
    return SimpleNamespace(database=pipeline.db)


def archive_of(pipeline: Pipeline) -> TestArchive:
    """One that was sent every result there is."""
    archive = TestArchive()
    for file in sorted(pipeline.folders.results.rglob("*.dcm")):
        archive.copies[str(file)] = [file.read_bytes()]
    return archive
