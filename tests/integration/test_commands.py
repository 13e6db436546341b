"""`dicom-node`'s commands as users run them, against a node that works."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dicom_node.failures import FAILURES
from dicom_node.reasons import REASONS
from storage.states import SeriesState
from tests.integration.conftest import Model
from tests.support.archive import OUT_OF_RESOURCES, SUCCESS, TestArchive, running_archive
from tests.support.head_series import HeadSeries, make_head_series
from tests.support.node import AE_TITLE, NodeUnderTest


@dataclass(frozen=True)
class Site:
    """A node, the archive it sends to, and a series that `dicom-node send` sent it and the archive refused to take."""

    node: NodeUnderTest
    archive: TestArchive
    series: HeadSeries


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("commands")
    series = make_head_series(folder, "commands")
    tables = {**model, "delivery": {"first_delay_s": 0.1, "maximum_attempts": 2}}
    with running_archive() as archive, NodeUnderTest(folder / "node", [archive.destination], tables) as node:
        archive.status = OUT_OF_RESOURCES
        port = str(node.port)
        sent = node.command(
            "send", str(folder / "commands"), "--port", port, "--called", AE_TITLE, with_config=False
        )
        assert sent.returncode == 0, sent.stderr
        assert f"{len(series.files)} of {len(series.files)} files stored" in sent.stdout
        assert node.wait_until_ended(series.uid).state == SeriesState.FAILED, node.log_tail()
        yield Site(node, archive, series)


def test_status_and_retry_of_a_failed_delivery(site: Site) -> None:
    node, uid = site.node, site.series.uid
    failed = json.loads(node.command("status", "--json").stdout)
    (row,) = failed["series"]
    assert (row["series_instance_uid"], row["state"], row["reason_code"]) == (
        uid,
        "FAILED",
        "delivery-failed",
    )
    assert "0xA700" in row["reason_detail"]
    assert "delivery-failed" in node.command("status").stdout

    site.archive.status = SUCCESS
    retried = node.command("retry", uid, "--json")
    assert json.loads(retried.stdout) == {"retried": [uid], "brought_forward": []}
    assert node.wait_for_state(uid, SeriesState.DONE).lesion_count
    assert len(site.archive.objects()) == 2
    assert "candidate" in node.command("status").stdout

    again = node.command("retry", uid)
    assert again.returncode == 1
    assert "no failed series" in again.stderr
    (entry,) = node.audit("retried")
    assert entry.actor.startswith("user:")


def test_retry_wants_one_series_or_all(site: Site) -> None:
    assert site.node.command("retry").returncode == 2
    assert json.loads(site.node.command("retry", "--all", "--json").stdout) == {"retried": [], "brought_forward": []}


def test_audit_list_and_show(site: Site) -> None:
    listed = site.node.command("audit", "list", "--json", "--event", "series-complete")
    (line,) = listed.stdout.splitlines()
    assert json.loads(line)["detail"]["instances"] == len(site.series.files)
    shown = site.node.command("audit", "show", site.series.uid)
    assert "series-analysed" in shown.stdout
    unknown = site.node.command("audit", "show", "1.2.3")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no audit row names series 1.2.3" in unknown.stderr


def test_audit_verify(site: Site) -> None:
    verified = site.node.command("audit", "verify")
    assert verified.returncode == 0, verified.stdout
    assert verified.stdout.startswith("intact: ")
    assert json.loads(site.node.command("audit", "verify", "--json").stdout)["ok"] is True


def test_audit_export(site: Site, tmp_path: Path) -> None:
    """The export itself is a row too, which stands in the next one."""
    entries = site.node.audit()
    lines = tmp_path / "audit.jsonl"
    assert site.node.command("audit", "export", str(lines)).returncode == 0
    assert [json.loads(line)["hash"] for line in lines.read_text().splitlines()] == [
        one.hash for one in entries
    ]
    table = tmp_path / "audit.csv"
    since = entries[2].at.isoformat()
    assert site.node.command("audit", "export", str(table), "--since", since).returncode == 0
    with table.open(newline="") as file:
        events = [row["event"] for row in csv.DictReader(file)]
    assert events == [one.event for one in entries[2:]] + ["audit-exported"]
    refused = site.node.command("audit", "export", str(tmp_path / "audit.txt"))
    assert refused.returncode == 1
    assert ".jsonl or .csv" in refused.stderr


def test_check_config_of_a_good_configuration(archive: TestArchive, tmp_path: Path, model: Model) -> None:
    node = NodeUnderTest(tmp_path, [archive.destination], model)
    checked = node.command("check-config", "--echo", "--json")
    assert checked.returncode == 0, checked.stdout
    found = json.loads(checked.stdout)
    assert found["settings"]["node"]["ae_title"] == AE_TITLE
    outcomes = {check["name"]: check["outcome"] for check in found["checks"] if check["level"] == "ok"}
    assert {"port", "folder", "weights", "device", "echo archive"} <= set(outcomes)
    assert outcomes["device"].startswith("cpu ")
    assert "SHA-256" in outcomes["weights"]


def test_check_config_of_weights_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_text("no weights")
    node = NodeUnderTest(tmp_path, (), {"model": {"weights": "weights.safetensors", "device": "auto"}})
    checked = node.command("check-config", "--json")
    assert checked.returncode == 2
    checks = {check["name"]: check for check in json.loads(checked.stdout)["checks"]}
    assert checks["weights"]["level"] == "error"
    assert "cannot be read" in checks["weights"]["outcome"]
    assert checks["device"]["level"] == "ok"


def test_check_config_of_a_running_node_with_a_pacs_that_is_away(
    site: Site, tmp_path: Path, model: Model
) -> None:
    away = TestArchive()
    node = NodeUnderTest(tmp_path, [away.destination], {**model, "receiver": {"port": site.node.port}})
    checked = node.command("check-config", "--echo")
    assert checked.returncode == 2
    assert "a node running already" in checked.stdout
    assert "no connection" in checked.stdout


def test_a_configuration_with_several_mistakes_stops_the_start_and_names_each(tmp_path: Path) -> None:
    node = NodeUnderTest(tmp_path, (), {"model": {"step": 50}, "receiver": {"prot": 11112}})
    for command in ("serve", "check-config", "status"):
        refused = node.command(command)
        assert refused.returncode == 2
        assert "model.step" in refused.stderr
        assert "receiver.prot" in refused.stderr
        assert str(node.config) in refused.stderr


def test_reasons_lists_every_code(tmp_path: Path) -> None:
    node = NodeUnderTest(tmp_path)
    listed = json.loads(node.command("reasons", "--json", with_config=False).stdout)
    assert {row["code"] for row in listed} == {*REASONS, *FAILURES}


def test_send_says_what_was_not_stored(site: Site, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no DICOM")
    port = str(site.node.port)
    nothing = site.node.command("send", str(tmp_path), "--port", port, with_config=False)
    assert nothing.returncode == 1
    assert "no DICOM file" in nothing.stderr
    wrong = site.node.command(
        "send", str(site.series.files[0]), "--port", port, "--called", "OTHER", "--json", with_config=False
    )
    assert wrong.returncode == 1
    assert json.loads(wrong.stdout)["complete"] is False
