import json

import pytest

from storage.states import SeriesState
from tests.dicom_node.commands.called_node import Site
from tests.support.head_series import HeadSeries


def test_one_failed_series(site: Site, failed: HeadSeries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "maria")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert site.run("retry", failed.uid).stdout == f"retried {failed.uid}\n"
    assert site.pipeline.row(failed).state == SeriesState.QUEUED
    (entry,) = site.pipeline.audit("retried")
    assert entry.actor.startswith("user:")
    assert entry.actor.endswith(" (sudo by maria)")
    assert "somebody-else" not in entry.actor


def test_all_failed_series(site: Site, failed: HeadSeries) -> None:
    assert json.loads(site.run("retry", "--all", "--json").stdout) == {"retried": [failed.uid], "brought_forward": []}
    assert site.run("retry", "--all").stdout == "nothing has failed, and nothing waits for another try\n"


@pytest.mark.parametrize("named", [True, False])
def test_what_waits_for_its_next_try(
    site: Site, delivering: HeadSeries, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_node.commands.retry.system_clock", site.pipeline.clock)
    assert site.run("retry", delivering.uid if named else "--all").stdout == f"brought forward {delivering.uid}\n"
    (entry,) = site.pipeline.audit("brought-forward")
    assert (entry.actor.startswith("user:"), entry.detail["deliveries"]) == (True, ["pacs"])


def test_a_series_that_has_not_failed(site: Site, received: HeadSeries) -> None:
    result = site.run("retry", received.uid)
    assert result.exit_code == 1
    assert f"no failed series {received.uid}" in result.stderr
    assert "status --state failed" in result.stderr


@pytest.mark.parametrize("arguments", [(), ("1.2.3", "--all")])
def test_one_series_or_all(site: Site, arguments: tuple[str, ...]) -> None:
    assert site.run("retry", *arguments).exit_code == 2
