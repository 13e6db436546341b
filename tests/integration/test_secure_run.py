"""No patient's name or number leaves the images: a tell-tale series goes through the node, and all is searched."""

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.tls import TlsClient, server_context
from dicom_node.withheld import WITHHELD
from storage.overview import overview
from storage.states import SeriesState
from tests.integration.conftest import Model
from tests.support.archive import OUT_OF_RESOURCES, SUCCESS, running_archive
from tests.support.certificates import Authority, as_table
from tests.support.head_series import HeadSeries, change, make_head_series, send
from tests.support.node import NodeUnderTest, Tables
from tests.support.ports import free_port

NAME, NUMBER, BIRTH = "Telltale^Zebedaeus", "QX-8675309-QX", "19010203"
OF_THE_PATIENT = ("telltale", "zebedaeus", "8675309", BIRTH)
HOLDS_IMAGES = ("spool", "results")
FIRST_TRY_WITHIN_S = 60.0


@dataclass(frozen=True)
class Run:
    """A node after a whole run, and everything that it said."""

    node: NodeUnderTest
    series: HeadSeries
    refused: HeadSeries
    said: dict[str, bytes]


def mark(image: Dataset) -> None:
    image.PatientName, image.PatientID, image.PatientBirthDate = NAME, NUMBER, BIRTH
    image.OtherPatientNames = NAME
    image.ImageComments = f"{NAME} {NUMBER}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Run]:
    """A series that the PACS first refuses by name and then takes, one that is not analysed, and all log lines.

    Scanner and PACS speak TLS.
    """
    folder = tmp_path_factory.mktemp("privacy")
    series = make_head_series(folder, "telltale")
    refused = make_head_series(folder, "short", shape=(8, 14, 12))
    for file in (*series.files, *refused.files):
        change(file, mark)
    authority = Authority(folder / "pki")
    tables: Tables = {
        **model,
        "log": {"level": "debug", "format": "json"},
        "results": {"report_refusals": "all"},
        "receiver": {"tls_port": free_port()},
        "tls": as_table(authority.issue("node")),
    }
    with running_archive(server_context(authority.issue("pacs"))) as archive:
        archive.status, archive.comment = OUT_OF_RESOURCES, f"no room for {NAME} {NUMBER}"
        before = os.umask(0o022)  # the loosest that is usual
        try:
            node = NodeUnderTest(folder / "node", [{**archive.destination, "tls": True}], tables)
            node.start()
        finally:
            os.umask(before)
        try:
            over_tls = TlsClient(authority.issue("ct1"), "localhost")
            node.wait_until_ready("receiver")
            for one in (series, refused):
                send(replace(node.peer, port=tables["receiver"]["tls_port"], security=over_tls), one.files)
            node.wait_until(
                lambda: any(one.last_error for one in overview(node.database).destinations), FIRST_TRY_WITHIN_S, "a try"
            )
            failing = node.command("status", "--json").stdout
            archive.status, archive.comment = SUCCESS, ""
            assert node.wait_until_ended(series.uid).state == SeriesState.DONE
            assert node.wait_until_ended(refused.uid).state == SeriesState.NOT_ANALYSED
            yield Run(node, series, refused, {"status before": failing.encode(), **_everything_said(node)})
        finally:
            node.close()


def _everything_said(node: NodeUnderTest) -> dict[str, bytes]:
    """The log, what the commands print, and every file that is not to hold images."""
    commands = (("status",), ("status", "--json"), ("audit", "list", "--json"))
    said = {" ".join(one): node.command(*one).stdout.encode() for one in commands}
    said["log"] = node.log_file.read_bytes()
    for file in node.storage.rglob("*"):
        if file.is_file() and file.relative_to(node.storage).parts[0] not in HOLDS_IMAGES:
            said[str(file.relative_to(node.storage))] = file.read_bytes()
    return said


def test_the_search_finds_what_is_there(run: Run) -> None:
    """In the images and the results, where it belongs: else the other tests would prove nothing."""
    for place in HOLDS_IMAGES:
        (first, *_) = (run.node.storage / place).rglob("*.dcm")
        content = first.read_bytes().lower()
        assert all(word.encode() in content for word in ("telltale", "8675309"))
    database = ("node.sqlite3", "node.sqlite3-wal")
    for names in (database, ("log",), ("status",), ("status --json",), ("audit list --json",)):
        assert any(run.series.uid.encode() in run.said.get(name, b"") for name in names), names


@pytest.mark.parametrize("word", OF_THE_PATIENT)
def test_nothing_that_the_node_says_names_the_patient(run: Run, word: str) -> None:
    assert [name for name, content in run.said.items() if word.encode() in content.lower()] == []


def test_scanner_and_pacs_were_spoken_to_over_tls(run: Run) -> None:
    """The archive knows nothing else; of the scanner the row says so."""
    rows = run.node.audit("association-accepted")
    subjects = [row.detail["certificate_subject"] for row in rows if row.detail["stored"]]
    assert [subject.split(",")[0] for subject in subjects] == ["CN=ct1", "CN=ct1"]
    assert [row.detail["destination"] for row in run.node.audit("delivered")] == ["archive", "archive"]


def test_what_the_pacs_said_of_the_patient_is_withheld(run: Run) -> None:
    assert WITHHELD.encode() in run.said["status before"]


def test_the_audit_log_knows_the_patient_by_a_keyed_hash(run: Run) -> None:
    """The same for both series, and not one that could be had without the key."""
    rows = [json.loads(line) for line in run.said["audit list --json"].decode().splitlines()]
    hashes = [row["detail"]["patient_hash"] for row in rows if "patient_hash" in row["detail"]]
    assert len(hashes) == 2
    assert len(set(hashes)) == 1
    assert len(hashes[0]) == 64


def test_files_are_the_accounts_alone(run: Run) -> None:
    """Whatever umask the node was started with: 0600, and folders 0700."""
    loose = {
        str(path.relative_to(run.node.folder)): oct(stat.S_IMODE(path.stat().st_mode))
        for path in (run.node.storage, *run.node.storage.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) != (0o700 if path.is_dir() else 0o600)
    }
    assert loose == {}
    for pid in run.node.pids().values():  # what a library writes, and is gone by now, was no looser
        assert "Umask:\t0077" in Path(f"/proc/{pid}/status").read_text()


def test_the_key_of_the_hash_is_in_no_log(run: Run) -> None:
    key = (run.node.storage / "patient-hash.key").read_bytes()
    secret = (key, key.hex().encode())
    places = {name: content for name, content in run.said.items() if not name.endswith(".key")}
    assert not [name for name, content in places.items() for one in secret if one in content]
