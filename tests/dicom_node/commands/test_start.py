"""What keeps `dicom-node serve` from starting, and with which exit status: after 2 systemd does not try again."""

import errno
import os
import socket
import sqlite3
import subprocess
from contextlib import closing
from typing import Any

import pytest

from dicom_node.commands import check_config, check_storage
from dicom_node.commands.checks import Check
from tests.dicom_node.commands.called_node import Site

ABSENT = "device 'cuda': PyTorch sees 0 CUDA devices here"


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The settings of each node that was started."""
    calls: list[object] = []
    monkeypatch.setattr("dicom_node.daemon.serve", calls.append)
    return calls


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Exit status and error of the question for the device, where it is answered; a failure is put here."""
    answers: list[tuple[int, str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        status, error = answers[-1] if answers else (0, "")
        return subprocess.CompletedProcess(command, status, "cpu would be used", error)

    monkeypatch.setattr(subprocess, "run", run)
    return answers


def test_a_good_start(site: Site, probe: object, started: list[object]) -> None:
    result = site.run("serve")
    assert (result.exit_code, result.stderr, len(started)) == (0, "", 1)


def test_a_disk_at_its_floor_keeps_nothing_from_starting(site: Site, probe: object, started: list[object]) -> None:
    site.rewrite("minimum_free_gib = 0.0", "minimum_free_gib = 99999.0")
    result = site.run("serve")
    assert result.stderr.startswith("error: disk: ")
    assert (result.exit_code, len(started)) == (0, 1)


def test_a_port_in_use_may_be_free_later(site: Site, probe: object, started: list[object]) -> None:
    with socket.create_server(("127.0.0.1", site.port)):
        result = site.run("serve")
    assert result.stderr.startswith("cannot start: port: ")
    assert (result.exit_code, started) == (1, [])


def test_an_address_may_come_later(site: Site, probe: object) -> None:
    site.rewrite("[receiver]", '[receiver]\nhost = "192.0.2.1"')  # RFC 5737: for documents only
    assert site.run("serve").exit_code == 1


def test_a_device_may_come_later(site: Site, probe: list[tuple[int, str]]) -> None:
    probe.append((check_config.MAY_PASS_EXIT_STATUS, ABSENT))
    result = site.run("serve")
    assert result.stderr == f"cannot start: device: model.device, backend, precision: {ABSENT}\n"
    assert result.exit_code == 1


def test_a_backend_that_is_not_to_be_had_is_a_setting(site: Site, probe: list[tuple[int, str]]) -> None:
    probe.append((1, "backend 'openvino' is not to be had here"))
    assert site.run("serve").exit_code == 2


def test_a_probe_that_was_killed_may_succeed_later(site: Site, probe: list[tuple[int, str]]) -> None:
    probe.append((-9, ""))
    assert site.run("serve").exit_code == 1


def test_a_setting_that_is_wrong_prevails(site: Site, probe: list[tuple[int, str]]) -> None:
    probe.append((check_config.MAY_PASS_EXIT_STATUS, ABSENT))
    site.rewrite("[model]", '[assembly]\nannounced_count_attributes = ["NumberOfSlicez"]\n[model]')
    assert site.run("serve").exit_code == 2


def test_a_busy_machine_starts(site: Site, started: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    result = site.run("serve")
    said = "torch did not answer within 120 s; is the machine busy?"
    assert result.stderr == f"warning: device: model.device, backend, precision: {said}\n"
    assert (result.exit_code, len(started)) == (0, 1)


def test_a_device_that_is_absent_is_told_from_a_wrong_setting(site: Site) -> None:
    """By the program that is really asked."""
    site.rewrite('device = "cpu"', 'device = "cuda:99"')
    result = site.run("serve")
    assert result.exit_code == 1
    assert "CUDA devices here" in result.stderr


@pytest.mark.parametrize(("number", "status"), [("EACCES", 1), ("EROFS", 1), ("ENOTDIR", 2)])
def test_a_folder_that_cannot_be_written(
    site: Site, probe: object, monkeypatch: pytest.MonkeyPatch, number: str, status: int
) -> None:
    refuse_files(monkeypatch, number)
    assert site.run("serve").exit_code == status


@pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT"])
def test_a_full_disk_is_left_to_the_node(
    site: Site, probe: object, started: list[object], monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    refuse_files(monkeypatch, number)
    assert site.run("serve").exit_code == 0
    assert len(started) == 1


def refuse_files(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    monkeypatch.setattr(check_storage.tempfile, "TemporaryFile", refuse)


def test_a_database_of_a_newer_version(site: Site, probe: object, started: list[object]) -> None:
    site.pipeline.db.close()
    with closing(sqlite3.connect(site.pipeline.folders.database)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.commit()
    result = site.run("serve")
    assert result.stderr.startswith("cannot start: database: a newer version made it (9999")
    assert (result.exit_code, started) == (2, [])


@pytest.mark.parametrize(
    ("check", "refuses"),
    [
        (Check("port", "error", ""), True),
        (Check("disk", "error", "", prevents_start=False), False),
        (Check("device", "warning", "", may_pass=True), False),
        (Check("port", "ok", ""), False),
    ],
)
def test_which_checks_refuse(check: Check, refuses: bool) -> None:
    assert check.refuses is refuses
