"""The short form of tests/benchmarks/soak.py: nothing is lost, whatever the figures."""

from pathlib import Path

import pytest

from tests.benchmarks.soak import run_soak


def test_senders_at_once_slow_ones_and_some_that_break_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """More at once than there are places: who is rejected for the moment asks again."""
    run_soak(tmp_path, 14, (8, 16, 16), burst=6, places=10)
    assert "nothing lost: 22 series, 176 instances" in capsys.readouterr().out


@pytest.mark.stress
@pytest.mark.timeout(3600)
def test_a_day_of_a_hospital(tmp_path: Path) -> None:
    run_soak(tmp_path, 20, (400, 512, 512), burst=50)
