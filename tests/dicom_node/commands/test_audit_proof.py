"""Export, signed heads and their verification, as an administrator and an auditor call them."""

import base64
import json
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from storage.audit import entries
from tests.dicom_node.commands.called_node import Site, run
from tests.support.audit_log import forge, tamper
from tests.support.dicom_network import program
from tests.support.head_series import HeadSeries


@pytest.fixture
def public(site: Site, tmp_path: Path) -> Path:
    """The auditor's copy of the key."""
    file = tmp_path / "node.pem"
    result = site.run("audit", "key", "--output", str(file))
    assert result.exit_code == 0, result.stderr
    return file


@pytest.fixture
def export(site: Site, failed: HeadSeries, tmp_path: Path) -> Path:
    """All rows of a small series, with their head beside."""
    file = tmp_path / "taken" / "audit.jsonl"
    file.parent.mkdir()
    result = site.run("audit", "export", "--output", str(file))
    assert result.exit_code == 0, result.stderr
    assert "4 rows written" in result.stdout
    return file


def head_of(export: Path) -> tuple[dict[str, Any], Path]:
    file = export.with_name(export.name + ".head")
    return json.loads(file.read_text().splitlines()[0]), file


def check(file: Path, key: Path, *options: str) -> tuple[int, str]:
    """As an auditor, without settings and database."""
    result = run("audit", "verify", str(file), "--key", str(key), *options)
    return result.exit_code, result.stdout + result.stderr


def test_the_head_of_an_export(site: Site, export: Path) -> None:
    head, file = head_of(export)
    rows = [json.loads(line) for line in export.read_text().splitlines()]
    assert [row["number"] for row in rows] == [1, 2, 3, 4]
    assert (head["node"], head["rows"], head["since"], head["until"]) == ("GLIANET", 4, None, None)
    assert head["first"] == {"number": 1, "hash": rows[0]["hash"]}
    assert head["last"] == head["newest"] == {"number": 4, "hash": rows[3]["hash"]}
    assert head["previous_hash"] == "0" * 64
    assert head["file_sha256"] == sha256(export.read_bytes()).hexdigest()
    assert head["created_by"].startswith("user:")


def test_a_period_that_ends_before_the_log(
    site: Site, failed: HeadSeries, public: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.jsonl"
    result = site.run("audit", "export", str(file), "--from", "2026-01-15", "--to", "2026-01-15T10:00:10")
    assert result.exit_code == 0, result.stderr
    head, _ = head_of(file)
    assert (head["rows"], head["last"]["number"], head["newest"]["number"]) == (1, 1, 4)
    assert (head["since"], head["until"]) == ("2026-01-15T00:00:00.000000Z", "2026-01-15T10:00:10.000000Z")
    status, said = check(file, public)
    assert status == 0
    assert "intact: 1 rows, 1 to 1" in said
    assert "the log then ended at row 4" in said


def test_an_export_holds_by_itself(export: Path, public: Path) -> None:
    status, said = check(export, public)
    assert status == 0
    assert "signed by the key, node GLIANET" in said
    assert "intact: 4 rows, 1 to 4, from the beginning to the end" in said
    assert json.loads(check(export, public, "--json")[1])["ok"] is True
    assert check(export.with_name("audit.jsonl.head"), public)[0] == 0, "a head by itself, too"


def test_exports_are_on_record(site: Site, export: Path) -> None:
    (row,) = site.pipeline.audit("audit-exported")
    assert row.actor.startswith("user:")
    assert row.detail == {"rows": 4, "newest": 4, "since": None, "until": None, "file": "audit.jsonl"}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b'"actor": "CT1"', b'"actor": "CT2"', "row 1 was changed"),
        (b'"number": 2', b'"number": 3', "row 2 is missing"),
        (b"{", b"[", "what stands for row 1 is no row"),
        (b'"event": ', b'"event":  ', "is not the file that was signed"),
    ],
)
def test_a_changed_export(export: Path, public: Path, old: bytes, new: bytes, problem: str) -> None:
    content = export.read_bytes()
    assert old in content
    export.write_bytes(content.replace(old, new, 1))
    status, said = check(export, public)
    assert status == 1
    assert "BROKEN" in said
    assert problem in said


def test_a_changed_head(export: Path, public: Path) -> None:
    _, file = head_of(export)
    file.write_text(file.read_text().replace('"rows":4', '"rows":3'))
    status, said = check(export, public)
    assert status == 1
    assert "was not signed with this key, or was changed since" in said


@pytest.mark.parametrize("signature", ["", "none", base64.b64encode(b"x" * 64).decode()])
def test_another_signature(export: Path, public: Path, signature: str) -> None:
    _, file = head_of(export)
    file.write_text(file.read_text().splitlines()[0] + "\n" + signature + "\n")
    assert check(export, public)[0] == 1


def test_another_key(site: Site, export: Path, public: Path, tmp_path: Path) -> None:
    """As of somebody who took the key file's place: the auditor's copy of the public key tells."""
    (site.pipeline.folders.root / "audit-signing.key").unlink()
    forged = export.with_name("forged.jsonl")
    assert site.run("audit", "export", str(forged)).exit_code == 0
    assert check(forged, public)[0] == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("{export}",), "--key: a signature proves nothing without the key"),
        (
            ("{export}", "--key", "{folder}/none.pem"),
            "the public key cannot be read (No such file or directory)",
        ),
        (("{export}", "--key", "{export}"), "no public Ed25519 key in PEM"),
        (("{folder}/other.jsonl", "--key", "{public}"), "an export and its .head file belong together"),
        (("{folder}/a.head", "--key", "{public}"), "no head of an audit log"),
    ],
)
def test_what_cannot_be_checked(
    export: Path, public: Path, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    (tmp_path / "a.head").write_text("none")
    named = [one.format(export=export, public=public, folder=tmp_path) for one in arguments]
    result = run("audit", "verify", *named)
    assert result.exit_code == 1
    assert complaint in result.stderr


def test_a_table_is_checked_as_a_file(site: Site, failed: HeadSeries, public: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    assert site.run("audit", "export", str(file)).exit_code == 0
    assert check(file, public)[0] == 0
    file.write_text(file.read_text().replace("CT1", "CT2"))
    assert "is not the file that was signed" in check(file, public)[1]


def test_the_commands_of_the_guide_check_a_head_without_this_program(export: Path, public: Path) -> None:
    """The same lines stand in the administrator's guide."""
    openssl = program("openssl", "openssl")
    script = f"""
    head -n 1 audit.jsonl.head | tr -d '\\n' > head.txt
    tail -n 1 audit.jsonl.head | base64 -d > head.sig
    {openssl} pkeyutl -verify -pubin -inkey {public} -rawin -in head.txt -sigfile head.sig
    """
    done = subprocess.run(
        ["sh", "-ec", script], cwd=export.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout


def test_the_key_is_printed_and_private(site: Site, public: Path) -> None:
    printed = site.run("audit", "key").stdout
    assert public.read_text() in printed
    assert "fingerprint (SHA-256 of the key): " in printed
    assert (site.pipeline.folders.root / "audit-signing.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["export", "head", "key"])
def test_nothing_is_overwritten(site: Site, failed: HeadSeries, tmp_path: Path, kind: str) -> None:
    """Neither the file nor, of an export, the head beside it."""
    names = ("audit.jsonl", "audit.jsonl.head") if kind == "export" else ("audit.jsonl",)
    for name in names:
        there = tmp_path / name
        there.write_text("an auditor's")
        option = ("--output", str(tmp_path / "audit.jsonl"))
        result = site.run("audit", kind, *(option if kind != "head" else option[1:]))
        assert (result.exit_code, there.read_text()) == (1, "an auditor's")
        assert f"{there}: this file is there already" in result.stderr
        assert list(tmp_path.glob("audit.jsonl*")) == [there]
        there.unlink()


def head(site: Site, tmp_path: Path) -> Path:
    file = tmp_path / "glianet.head"
    assert site.run("audit", "head", str(file)).exit_code == 0
    return file


def test_the_log_agrees_with_its_head(site: Site, failed: HeadSeries, public: Path, tmp_path: Path) -> None:
    file = head(site, tmp_path)
    result = site.run("audit", "verify", "--against", str(file), "--key", str(public))
    assert result.exit_code == 0, result.stdout
    assert "row 4 is the one that was signed on" in result.stdout
    (row,) = site.pipeline.audit("audit-verified")
    assert row.detail["problem"] is None
    assert row.detail["against"] == "glianet.head"


def test_a_log_that_was_written_anew_is_found(
    site: Site, failed: HeadSeries, public: Path, tmp_path: Path
) -> None:
    """The chain holds; only what was taken away before tells."""
    file = head(site, tmp_path)
    rows = list(entries(site.pipeline.db))
    forge(site.pipeline.db.path, lambda row: {"actor": "CT2"} if row.number == 1 else {}, rows)
    assert site.run("audit", "verify").exit_code == 0
    result = site.run("audit", "verify", "--against", str(file), "--key", str(public), "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["ok"] is False
    assert "row 4 had another hash" in said["problem"]
    assert "written anew" in site.pipeline.audit("audit-verified")[-1].detail["problem"]


def test_a_log_that_was_cut_off_is_found(
    site: Site, failed: HeadSeries, public: Path, tmp_path: Path
) -> None:
    file = head(site, tmp_path)
    last = "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'audit'"
    tamper(site.pipeline.db.path, "DELETE FROM audit WHERE number > 2", last)
    assert site.run("audit", "verify").exit_code == 0, "the record of it is row 3 now"
    result = site.run("audit", "verify", "--against", str(file), "--key", str(public))
    assert result.exit_code == 1
    assert "row 4 was there on" in result.stdout
    assert "the log ends at row 3" in result.stdout


def test_a_head_that_was_not_signed_proves_nothing(
    site: Site, failed: HeadSeries, public: Path, tmp_path: Path
) -> None:
    file = head(site, tmp_path)
    file.write_text(file.read_text().replace('"node":"GLIANET"', '"node":"GLIANEX"'))
    result = site.run("audit", "verify", "--against", str(file), "--key", str(public))
    assert result.exit_code == 1
    assert "was not signed with this key" in result.stdout


def test_the_hash_of_a_patient_and_the_series_that_bear_it(site: Site, failed: HeadSeries) -> None:
    (accepted,) = site.pipeline.audit("series-accepted")
    patient_id = str(dcmread(failed.files[0], stop_before_pixels=True).PatientID)
    asked = site.run("audit", "patient", "--patient-id", f" {patient_id} ")
    assert asked.stdout.splitlines() == [accepted.detail["patient_hash"], f"series {failed.uid}"]
    (other,) = site.run("audit", "patient", "--patient-id", "P-2").stdout.splitlines()
    assert len(other) == 64
    assert other != accepted.detail["patient_hash"]


def test_usage(site: Site, tmp_path: Path) -> None:
    assert site.run("audit", "export").exit_code == 2
    assert site.run("audit", "export", "a.csv", "--output", "b.csv").exit_code == 2
    assert site.run("audit", "verify", "a.jsonl", "--against", "b.head").exit_code == 2
    other = tmp_path / "config2.toml"
    other.write_text('[storage]\nfolder = "elsewhere"')
    result = run("audit", "key", "--config", str(other))
    assert result.exit_code == 1
    assert "no node has run in this folder" in result.stderr
