"""What `dicom-node status` begins with, and `status --check` ends with."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storage.audit import record
from tests.dicom_node.commands.called_node import Site
from tests.support.ended import Template, take_results
from tests.support.head_series import HeadSeries, change

NOT_RUNNING = "node: not running: nothing is received, analysed or sent"


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that runs and answers, as far as is seen."""
    monkeypatch.setattr("dicom_node.commands.node_state.find_running_node", lambda _folder: 4711)
    monkeypatch.setattr("dicom_node.commands.node_state.why_unanswered", lambda _settings, *, secured: None)


@pytest.fixture
def done(site: Site, template: Template, tmp_path: Path) -> Iterator[tuple[Site, HeadSeries]]:
    """A series whose results the PACS has taken, and files of the test's own, to be changed and sent again."""
    with template.open_copy(tmp_path / "done") as pipeline:
        site.rewrite('folder = "node"', 'folder = "done"')
        files = [tmp_path / file.name for file in template.series.files]
        for file, copy in zip(template.series.files, files, strict=True):
            copy.write_bytes(file.read_bytes())
        again = HeadSeries(template.series.hu, template.series.affine, tuple(files))
        yield Site(site.config, pipeline, site.port), again


def status(site: Site) -> dict[str, Any]:
    return dict(json.loads(site.run("status", "--json").stdout))


def test_nothing(site: Site) -> None:
    assert status(site)["attention"] == []
    for options in ((), ("--json",)):
        assert site.run("status", "--check", *options).exit_code == 0
    assert "attention" not in site.run("status").stdout


def test_a_node_that_does_not_run(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.commands.node_state.find_running_node", lambda _folder: None)
    assert status(site)["attention"] == [NOT_RUNNING]
    assert site.run("status").exit_code == 0
    result = site.run("status", "--check")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == f"attention: {NOT_RUNNING}"
    assert site.run("status", "--check", "--json").exit_code == 1


def test_a_destination_that_the_settings_do_not_have_any_more(site: Site, delivering: HeadSeries) -> None:
    assert status(site)["orphaned"] == {}
    site.rewrite('name = "pacs"', 'name = "new-pacs"')
    (sentence,) = status(site)["attention"]
    assert sentence.startswith("to pacs: 1 waiting, and no [[destination]] has this name any more")
    assert "dicom-node abandon --destination pacs" in sentence
    assert status(site)["orphaned"] == {"pacs": 1}
    site.run("abandon", "--destination", "pacs", "--because", "it was renamed")
    assert status(site)["attention"] == []


def test_a_folder_that_cannot_be_looked_at(site: Site) -> None:
    site.rewrite('folder = "node"', 'folder = "other"')
    assert site.run("status", "--check").exit_code == 1


def test_a_disk_at_its_floor(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.rewrite("minimum_free_gib = 0.0", "minimum_free_gib = 0.5")
    monkeypatch.setattr("dicom_node.disk_space.free_bytes", lambda _folder: 24 * 1024**2)
    found = status(site)
    assert found["disk"] == {"free_bytes": 25165824, "floor_bytes": 536870912, "accepting": False}
    (sentence,) = found["attention"]
    assert sentence == "disk: 0.02 GiB free, below receiver.minimum_free_gib: nothing is accepted"
    assert site.run("status").stdout.splitlines()[0] == f"attention: {sentence}"
    monkeypatch.setattr("dicom_node.disk_space.free_bytes", lambda _folder: 512 * 1024**2)
    assert status(site)["disk"]["accepting"] is True


def test_processes_that_died(site: Site) -> None:
    record(site.pipeline.db, "process-died", site.pipeline.clock(), actor="node", detail={"process": "router"})
    for process in ("receiver", "worker", "receiver"):
        record(site.pipeline.db, "process-died", datetime.now(UTC), actor="node", detail={"process": process})
    found = status(site)
    assert found["attention"] == ["receiver died 2 times in the last hour", "worker died once in the last hour"]
    assert found["deaths_in_the_last_hour"] == {"receiver": 2, "worker": 1}


def test_series_that_failed(site: Site, failed: HeadSeries) -> None:
    assert status(site)["attention"] == ["series: 1 failed (`dicom-node status --state failed`)"]


def test_results_that_may_stand_under_a_wrong_patient(done: tuple[Site, HeadSeries]) -> None:
    site, series = done
    assert status(site)["attention"] == []
    for file in series.files:
        change(file, lambda image: setattr(image, "PatientID", "CORRECTED"))
    refused_again(site, series)
    (sentence,) = status(site)["attention"]
    assert sentence == (
        "series: 1 came again with other patient data after results went out: "
        "results may stand under a wrong patient (changed-patient)"
    )
    (counted,) = status(site)["overview"]["defects"]
    assert counted == {"reason": "changed-patient", "series": 1, "earlier_delivered": 1}
    assert site.run("status", "--check").exit_code == 1
    listed = site.run("audit", "list", "--series", series.uid, "--event", "delivered", "--json").stdout.splitlines()
    assert len(json.loads(listed[0])["detail"]["objects"]) == 2, "what is to be withdrawn"


def test_the_matter_is_settled_by_a_purge(done: tuple[Site, HeadSeries]) -> None:
    site, series = done
    change(series.files[0], lambda image: setattr(image, "PatientID", "CORRECTED"))
    refused_again(site, series)
    assert len(status(site)["attention"]) == 1
    assert site.run("purge", series.uid).exit_code == 0
    assert status(site)["attention"] == []


def test_results_that_may_be_of_other_images(done: tuple[Site, HeadSeries]) -> None:
    site, series = done
    change(series.files[2], lambda image: setattr(image, "WindowCenter", "77"))
    refused_again(site, series)
    (sentence,) = status(site)["attention"]
    assert sentence.endswith("results may be of wrong images (conflicting-instances)")


def refused_again(site: Site, series: HeadSeries) -> None:
    """What came is refused, and the PACS is told so."""
    pipeline = site.pipeline
    pipeline.receive(series.files)
    pipeline.quiet()
    assert pipeline.assemble()
    assert pipeline.publish()
    take_results(pipeline)
