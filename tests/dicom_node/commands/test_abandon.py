"""Giving up on a series or on a destination, as the administrator does it."""

import json
from pathlib import Path

import pytest
from pydicom import dcmread

from storage.jobs import claim_series, fail
from storage.outbox import claim_delivery, delivered, newest_deliveries, stored
from storage.states import SeriesState
from tests.dicom_node.commands.called_node import CONFIG, Site
from tests.support.head_series import HeadSeries
from tests.support.pipeline import LEASE, no_lesion, open_pipeline, small_series
from tests.support.ports import free_port
from tests.support.results import texts_of

BECAUSE = ("--because", "the graphics card is broken")


def test_a_failed_series_is_reported_as_not_analysed(site: Site, failed: HeadSeries) -> None:
    result = site.run("abandon", failed.uid, *BECAUSE)
    wanted = f"abandoned: {failed.uid}; the series is refused, and ends as not analysed\n"
    assert (result.exit_code, result.stdout) == (0, wanted)
    (entry,) = site.pipeline.audit("series-abandoned")
    assert entry.actor.startswith("user:")
    assert entry.detail["because"] == "the graphics card is broken"
    site.pipeline.publish()
    (report,) = site.pipeline.folders.results.rglob("*.dcm")
    text = " ".join(texts_of(dcmread(report)))
    assert "The software failed on the series, and the node's administrator gave up on it; an earlier report" in text
    assert "analysis had failed: attempts-used-up" in text
    assert "Not fit for this algorithm" not in text, "the images are not at fault"
    assert "graphics card" not in text
    assert "no memory" not in text


def test_a_destination_that_is_gone(site: Site, delivering: HeadSeries) -> None:
    result = site.run("abandon", "--destination", "pacs", *BECAUSE)
    assert result.stdout == (
        f"abandoned: {delivering.uid} to pacs; the series is done, and nobody has its results\n"
    )
    assert site.pipeline.row(delivering).state == SeriesState.DONE
    again = site.run("abandon", "--destination", "pacs", *BECAUSE)
    assert (again.exit_code, again.stdout) == (0, "nothing is waiting for pacs, and nothing failed\n")


def test_status_says_who_was_given_up(site: Site, delivering: HeadSeries) -> None:
    site.run("abandon", "--destination", "pacs", *BECAUSE)
    lines = site.run("status").stdout.splitlines()
    assert "    given up for pacs; nobody has its results" in lines
    assert "to pacs: 0 pending, 0 delivered, 0 failed, 1 withdrawn" in lines


def test_status_says_that_nobody_was_told_of_a_series_that_is_not_analysed(site: Site, failed: HeadSeries) -> None:
    site.run("abandon", failed.uid, *BECAUSE)
    assert "report was given up" not in site.run("status").stdout, "it is still to be made"
    pipeline = site.pipeline
    claim = claim_series(pipeline.db, SeriesState.REFUSED, "router:1:publishing", pipeline.clock(), LEASE)
    assert claim is not None
    fail(pipeline.db, claim, "attempts-used-up", "no header could be read", pipeline.clock())
    site.run("abandon", failed.uid, *BECAUSE)
    assert pipeline.row(failed).state == SeriesState.NOT_ANALYSED
    assert "    its report was given up; nobody was told" in site.run("status").stdout.splitlines()
    (series,) = json.loads(site.run("status", "--json").stdout)["series"]
    assert (series["given_up"], series["report_given_up"]) == ([], True)


def test_nobody_is_told_where_no_refusal_is_to_be_reported(tmp_path: Path) -> None:
    """As of any series that is not analysed; an administrator who set that knows."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(port=free_port(), away=free_port()) + '[results]\nreport_refusals = "none"\n')
    with open_pipeline(tmp_path / "node", results={"report_refusals": "none"}) as pipeline:
        site, series = Site(config, pipeline, 0), small_series(tmp_path)
        pipeline.receive(series.files)
        pipeline.quiet()
        pipeline.assemble()
        claim = claim_series(pipeline.db, SeriesState.QUEUED, "worker:1:analysis", pipeline.clock(), LEASE)
        assert claim is not None
        fail(pipeline.db, claim, "attempts-used-up", "no memory [cuda]", pipeline.clock())
        site.run("abandon", series.uid, *BECAUSE)
        pipeline.publish()
        row = pipeline.row(series)
        assert (row.state, row.reason_code) == (SeriesState.NOT_ANALYSED, "abandoned")
        assert newest_deliveries(pipeline.db, row) == []
        assert "given up" not in site.run("status").stdout


def test_what_was_abandoned_is_sound_and_can_be_analysed_again(site: Site, failed: HeadSeries) -> None:
    site.run("abandon", failed.uid, *BECAUSE)
    site.pipeline.publish()
    site.pipeline.settings.storage.folder.chmod(0o700)
    doctor = site.run("doctor")
    assert doctor.exit_code == 0, doctor.stdout
    pipeline = site.pipeline
    delivery = claim_delivery(pipeline.db, "pacs", "router:1:pacs", pipeline.clock(), LEASE)
    assert delivery is not None
    delivered(pipeline.db, delivery, [{"status": "0x0000"}], pipeline.clock())
    assert site.run("reanalyse", failed.uid).exit_code == 0
    pipeline.quiet()
    pipeline.assemble()
    row = pipeline.row(failed)
    assert (row.state, row.revision, row.reason_code) == (SeriesState.QUEUED, 2, None)
    site.pipeline.conclude(failed, no_lesion(failed))
    site.pipeline.publish()
    assert site.pipeline.row(failed).state == SeriesState.DELIVERING


def test_who_took_the_results_has_them_though_it_never_said_that_it_keeps_them(
    site: Site, delivering: HeadSeries
) -> None:
    site.pipeline.clock.advance(3600)
    delivery = claim_delivery(site.pipeline.db, "pacs", "router:1:pacs", site.pipeline.clock(), LEASE)
    assert delivery is not None
    stored(site.pipeline.db, delivery, [{"status": "0x0000"}], site.pipeline.clock())
    result = site.run("abandon", "--destination", "pacs", *BECAUSE)
    assert result.stdout == f"abandoned: {delivering.uid} to pacs; the series is done\n"
    assert "    given up for pacs" in site.run("status").stdout.splitlines()
    (series,) = json.loads(site.run("status", "--json").stdout)["series"]
    assert series["given_up"] == ["pacs"]


def test_a_name_that_was_mistyped(site: Site, delivering: HeadSeries) -> None:
    for arguments in (["--destination", "pasc"], [delivering.uid, "--destination", "pasc"]):
        result = site.run("abandon", *arguments, *BECAUSE)
        assert result.exit_code == 1
        assert "there is no destination 'pasc'" in result.stderr
        assert "known are pacs" in result.stderr
    assert site.pipeline.row(delivering).state == SeriesState.DELIVERING


def test_whose_series_was_abandoned_is_known_though_it_was_never_inspected(
    site: Site, uninspected: HeadSeries
) -> None:
    patient_id = str(dcmread(uninspected.files[0]).PatientID)
    assert uninspected.uid not in site.run("audit", "patient", "--patient-id", patient_id).stdout
    site.run("abandon", uninspected.uid, *BECAUSE)
    assert uninspected.uid in site.run("audit", "patient", "--patient-id", patient_id).stdout
    (row,) = site.pipeline.audit("series-abandoned")
    assert len(str(row.detail["patient_hash"])) == 64 and patient_id not in json.dumps(row.detail)


def test_a_trial(site: Site, failed: HeadSeries) -> None:
    result = site.run("abandon", failed.uid, *BECAUSE, "--dry-run")
    said = f"would be abandoned: {failed.uid}; the series would be refused, and would end as not analysed\n"
    assert result.stdout == said
    assert site.pipeline.row(failed).state == SeriesState.FAILED
    assert site.pipeline.audit("series-abandoned") == []


def test_for_a_program(site: Site, delivering: HeadSeries) -> None:
    result = site.run("abandon", delivering.uid, "--destination", "pacs", *BECAUSE, "--json")
    nobody = {"nobody_has_results": True}
    assert json.loads(result.stdout) == {
        "dry_run": False,
        "abandoned": [{"series_instance_uid": delivering.uid, "destinations": ["pacs"], "state": "DONE"} | nobody],
    }


def test_what_has_not_failed(site: Site, delivering: HeadSeries) -> None:
    result = site.run("abandon", delivering.uid, *BECAUSE)
    assert result.exit_code == 1
    assert f"series {delivering.uid} is still being delivered" in result.stderr
    assert "--destination NAME" in result.stderr
    assert site.pipeline.row(delivering).state == SeriesState.DELIVERING


@pytest.mark.parametrize("because", ["", "  ", "two\nlines", "x" * 301])
def test_a_reason_that_cannot_stand_in_the_audit_log(site: Site, failed: HeadSeries, because: str) -> None:
    result = site.run("abandon", failed.uid, "--because", because)
    assert result.exit_code == 1
    assert "--because" in result.stderr
    assert site.pipeline.row(failed).state == SeriesState.FAILED


def test_something_is_to_be_named(site: Site) -> None:
    assert site.run("abandon", *BECAUSE).exit_code == 2
    assert site.run("abandon", "1.2.3").exit_code == 2
