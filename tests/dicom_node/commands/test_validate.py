import json
import shutil
from pathlib import Path

import pytest

from tests.dicom_node.commands.called_node import run
from tests.support.result_folder import change_file, flip_bit, make_result_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_result_folder(tmp_path / "results")


def test_good_results(folder: Path) -> None:
    result = run("validate", str(folder))
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "key-image-1.dcm: Secondary Capture Image Storage"
    assert "sr.dcm: Comprehensive 3D SR Storage" in lines
    assert any(line.startswith("  passed    volume") for line in lines)
    assert lines[-1] == "5 results: 5 passed, 0 failed. 12 source images in 1 series, 0 other files passed over."


def test_a_flipped_bit_fails(folder: Path) -> None:
    change_file(folder / "seg.dcm", lambda segmentation: flip_bit(segmentation, 0, 0))
    result = run("validate", str(folder))
    assert result.exit_code == 1
    (failed,) = [line for line in result.stdout.splitlines() if line.startswith("  failed")]
    assert failed.endswith("Aneurysm candidate 1 states 21.45 mm3, its segment has 21.600 mm3")
    assert "5 results: 4 passed, 1 failed." in result.stdout


def test_json_for_a_program(folder: Path, tmp_path: Path) -> None:
    (folder / "ct").rename(tmp_path / "ct")
    (folder / "notes.txt").touch()
    result = run("validate", str(folder), "--source", str(tmp_path / "ct"), "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["passed"]
    assert [one["file"] for one in told["objects"]][-2:] == ["seg.dcm", "sr.dcm"]
    assert list(told["sources"].values()) == [12]
    assert told["skipped"] == ["notes.txt"]
    assert {check["outcome"] for one in told["objects"] for check in one["checks"]} == {"passed"}


def test_a_folder_without_results_fails(folder: Path) -> None:
    for file in folder.glob("*.dcm"):
        file.unlink()
    result = run("validate", str(folder))
    assert result.exit_code == 1
    assert result.stdout == "0 results. 12 source images in 1 series, 0 other files passed over.\n"
    shutil.rmtree(folder)
    result = run("validate", str(folder))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "it is no folder" in result.stderr


def test_names_of_files_bring_no_control_characters(folder: Path) -> None:
    (folder / "seg.dcm").rename(folder / "seg\x1b[2J.dcm")
    assert "seg?[2J.dcm: Segmentation Storage" in run("validate", str(folder)).stdout
