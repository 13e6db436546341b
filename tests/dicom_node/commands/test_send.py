import json
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from tests.dicom_node.commands.called_node import run
from tests.support.dicom_network import running_archive
from tests.support.pipeline import small_series
from tests.support.ports import free_port


def test_every_file_is_stored(tmp_path: Path) -> None:
    small_series(tmp_path)
    with running_archive([CTImageStorage], [ExplicitVRLittleEndian]) as archive:
        options = ("--port", str(archive.port), "--called", "ARCHIVE")
        result = run("send", str(tmp_path), *options)
        assert result.exit_code == 0, result.output
        assert f"8 of 8 files stored by ARCHIVE at 127.0.0.1:{archive.port}" in result.stdout
        assert len(archive.bodies) == 8
        report = json.loads(run("send", str(tmp_path), *options, "--json").stdout)
    assert (report["complete"], report["statuses"]) == (True, {"0x0000": 8})


def test_a_peer_that_is_away(tmp_path: Path) -> None:
    small_series(tmp_path)
    result = run("send", str(tmp_path), "--port", str(free_port()))
    assert result.exit_code == 1
    assert "0 of 8 files stored" in result.stdout
    assert "Connection refused" in result.stdout


def test_a_folder_without_dicom_files(tmp_path: Path) -> None:
    result = run("send", str(tmp_path), "--port", str(free_port()))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no DICOM file is there" in result.stderr


def test_the_help_names_the_table_of_settings() -> None:
    """`[tls]` would be taken for markup."""
    assert "[tls]" in run("send", "--help").stdout
