"""Whether the node answers on its ports, as `status` and `check-config` ask it; and what it writes of that."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from dicom_node.association import AssociationFailed, associate
from dicom_node.commands import check_config, own_ports
from dicom_node.commands.checks import Check
from dicom_node.commands.own_ports import why_unanswered
from dicom_node.delivery import echo
from dicom_node.logs import logs_held_back
from dicom_node.network_library import VERIFICATION
from dicom_node.receiver.gate import FREE_REJECTIONS
from dicom_node.settings import Settings
from storage.audit import entries
from storage.node_lock import NodeLock
from tests.dicom_node.commands.called_node import Site
from tests.support.certificates import Authority
from tests.support.dicom_network import Node, running_archive, running_node
from tests.support.ports import free_port
from tests.support.tls_node import tls_node

ELSEWHERE = [{"name": "ct1", "ae_title": "CT1", "networks": ["192.0.2.0/24"]}]


def settings_of(node: Node) -> Settings:
    return on_port(node.settings, node.receiver.port)


def on_port(settings: Settings, port: int) -> Settings:
    return settings.model_copy(update={"receiver": settings.receiver.model_copy(update={"port": port})})


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_node_that_answers(tmp_path: Path, host: str) -> None:
    with running_node(tmp_path, receiver={"host": host}) as node:
        assert why_unanswered(settings_of(node), secured=False) is None
        node.wait_until_written()
        assert list(entries(node.db)) == []


@pytest.mark.parametrize("tables", [{"remote": ELSEWHERE}, {"receiver": {"calling_ae_titles": ["CT1"]}}])
def test_a_rejection_is_an_answer_of_which_no_row_tells_and_that_shuts_nobody_out(
    tmp_path: Path, tables: dict[str, Any]
) -> None:
    with running_node(tmp_path, **tables) as node:
        for _ in range(FREE_REJECTIONS + 1):
            assert why_unanswered(settings_of(node), secured=False) is None
        assert "not recognised" in echo(node.peer(), "CT3").detail
        node.wait_until_written()
        (row,) = entries(node.db)
        assert row.detail["calling_ae_title"] == "CT3"


def test_under_its_own_title_images_are_rejected_as_ever(tmp_path: Path) -> None:
    """Only the question for an answer is passed over."""
    with running_node(tmp_path, remote=ELSEWHERE) as node:
        wanted = [(VERIFICATION, ImplicitVRLittleEndian), (CTImageStorage, ImplicitVRLittleEndian)]
        with pytest.raises(AssociationFailed), associate(node.peer(), "GLIANET", wanted):
            pytest.fail("accepted")
        node.wait_until_written()
        (row,) = entries(node.db, event="association-rejected")
        assert row.detail["calling_ae_title"] == "GLIANET"


def test_another_dicom_application_is_not_this_node(tmp_path: Path) -> None:
    with running_node(tmp_path) as node, running_archive([VERIFICATION], [ImplicitVRLittleEndian]) as archive:
        other = on_port(node.settings, archive.port)
        assert "alled AE title not recognised" in (why_unanswered(other, secured=False) or "")
        titled = other.model_copy(update={"node": other.node.model_copy(update={"ae_title": "ARCHIVE"})})
        assert why_unanswered(titled, secured=False) == "another DICOM application does"


def test_nobody_and_a_program_that_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_ports, "ANSWER_WITHIN_S", 0.2)
    with running_node(tmp_path) as node:
        settings = node.settings
    assert "Connection refused" in (why_unanswered(on_port(settings, free_port()), secured=False) or "")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "no valid answer" in (why_unanswered(on_port(settings, port), secured=False) or "")


def test_over_tls_a_connection_is_enough(tmp_path: Path, authority: Authority) -> None:
    with tls_node(tmp_path, authority) as node:
        assert why_unanswered(node.settings, secured=True) is None
        node.wait_until_written()
        assert list(entries(node.db)) == []
    assert why_unanswered(node.settings, secured=True) == "no connection (Connection refused)"


def test_a_receiver_that_is_dead_is_seen_by_status_and_check_config(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program holds the port, or nobody; the node runs."""
    monkeypatch.setattr(own_ports, "ANSWER_WITHIN_S", 0.2)
    monkeypatch.setattr(check_config, "_check_device", lambda _settings: Check("device", "ok", "not asked"))
    with NodeLock(site.pipeline.folders.root):
        nobody = json.loads(site.run("status", "--json").stdout)
        with socket.create_server(("127.0.0.1", site.port)):
            other = json.loads(site.run("check-config", "--json").stdout)["checks"]
    assert list(nobody["unanswered"]) == [f"port {site.port}"]
    (sentence,) = nobody["attention"]
    assert sentence.startswith(f"port {site.port}: the node runs, and nobody answers there as this node: no connection")
    (port,) = [check for check in other if check["name"] == "port"]
    assert (port["level"], port["may_pass"], port["prevents_start"]) == ("error", True, False)
    assert f"though it runs (process {os.getpid()})" in port["outcome"]


def test_a_receiver_that_answers_is_seen_by_status_and_check_config(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_config, "_check_device", lambda _settings: Check("device", "ok", "not asked"))
    held = logs_held_back()  # the receiver writes its log where the command prints
    with held, running_node(tmp_path / "other") as node, NodeLock(site.pipeline.folders.root):
        site.rewrite(f"port = {site.port}", f"port = {node.receiver.port}")
        assert json.loads(site.run("status", "--json").stdout)["attention"] == []
        assert site.run("status", "--check").exit_code == 0
        found = json.loads(site.run("check-config", "--json").stdout)["checks"]
    (port,) = [check for check in found if check["name"] == "port"]
    said = f"127.0.0.1:{node.receiver.port} is listened on by this node, which runs (process {os.getpid()})"
    assert (port["level"], port["outcome"]) == ("ok", said)
