import json
import os
from datetime import timedelta

from storage.node_lock import NodeLock
from storage.outbox import claim_delivery, postpone_delivery
from tests.dicom_node.commands.called_node import Site
from tests.support.head_series import HeadSeries
from tests.support.pipeline import LEASE, no_lesion


def test_a_folder_without_a_node_is_no_node_without_series(site: Site) -> None:
    site.rewrite('folder = "node"', 'folder = "other"')
    result = site.run("status")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "other: no node has run in this folder" in result.stderr
    assert not (site.config.parent / "other").exists()


def test_it_tells_whether_the_node_runs(site: Site) -> None:
    assert site.run("status").stdout.splitlines() == [
        "attention: node: not running: nothing is received, analysed or sent",
        "node: not running; what waits goes on at the next start",
        "series: none yet",
    ]
    with NodeLock(site.pipeline.folders.root):
        running = f"node: running (process {os.getpid()}), GLIANET at 127.0.0.1:{site.port}"
        assert running in site.run("status").stdout.splitlines()
        assert json.loads(site.run("status", "--json").stdout)["process"] == os.getpid()
    assert json.loads(site.run("status", "--json").stdout)["process"] is None


def test_uids_and_reasons_are_whole_however_narrow_the_terminal(site: Site, failed: HeadSeries) -> None:
    """Also what looks like rich's markup."""
    lines = [line.strip() for line in site.run("status").stdout.splitlines()]
    assert "series: 1 failed" in lines
    assert failed.uid in lines
    assert "8 instances from CT1" in lines
    assert any(
        line.endswith("failed                    attempts-used-up: no memory [cuda]") for line in lines
    )


def test_a_delivery_that_is_tried_again(site: Site, delivering: HeadSeries) -> None:
    lines = [line.strip() for line in site.run("status").stdout.splitlines()]
    assert "to pacs: 1 pending (since 2026-01-15 10:00:30 UTC), 0 delivered, 0 failed" in lines
    assert "last error: no connection" in lines
    assert "to pacs: 1 try failed, next 2026-01-15 11:00:30 UTC" in lines
    assert not any("no [[destination]]" in line for line in lines)


def test_a_delivery_whose_only_try_did_not_count(site: Site, received: HeadSeries) -> None:
    pipeline = site.pipeline
    pipeline.quiet()
    pipeline.assemble()
    pipeline.conclude(received, no_lesion(received))
    pipeline.publish()
    claim = claim_delivery(pipeline.db, "pacs", "router:1:pacs", pipeline.clock(), LEASE)
    assert claim is not None
    pause = timedelta(seconds=30)
    postpone_delivery(pipeline.db, claim, "no space left", pause, 1, pipeline.clock(), counts=False)
    lines = [line.strip() for line in site.run("status").stdout.splitlines()]
    assert "last error: no space left" in lines
    assert "to pacs: the last try did not count, next 2026-01-15 10:01:00 UTC" in lines


def test_a_delivery_to_a_destination_that_is_not_in_the_settings(site: Site, delivering: HeadSeries) -> None:
    site.rewrite('name = "pacs"', 'name = "new-pacs"')
    assert "no [[destination]] has this name any more" in site.run("status").stdout


def test_only_one_state(site: Site, failed: HeadSeries) -> None:
    assert failed.uid in site.run("status", "--state", "failed").stdout
    assert failed.uid not in site.run("status", "--state", "not-analysed").stdout
    shown = json.loads(site.run("status", "--state", "Failed", "--json").stdout)
    assert [row["series_instance_uid"] for row in shown["series"]] == [failed.uid]
    wrong = site.run("status", "--state", "broken")
    assert wrong.exit_code == 1
    assert "not-analysed" in wrong.stderr
