"""Commands of a new version on the storage folder of an older one: nothing but `serve` brings it up to date."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.audit import entries
from storage.database import open_as_it_is
from storage.integrity import schema_revision
from storage.schema import SCHEMA_REVISION
from tests.dicom_node.commands.called_node import CONFIG, run
from tests.support.old_databases import old_database

OLD = ("0002", "0003")  # the first knows of no deletion


@pytest.fixture(params=OLD)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A node of version 0.0 has run here; its results are on the disk."""
    folder = tmp_path / "node"
    folder.mkdir()
    old_database(folder / "node.sqlite3", request.param)
    for role in ("seg", "sr"):
        (folder / "results").mkdir(exist_ok=True)
        (folder / "results" / role).write_text(role)
    file = tmp_path / "config.toml"
    file.write_text(CONFIG.format(port=11999, away=11998))
    yield file
    assert schema_revision(folder / "node.sqlite3") == request.param, "it is as it was"


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("retry", "--all"), ("purge",), ("audit", "list"), ("audit", "verify"), ("audit", "key")],
)
def test_commands_refuse_it(config: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--config", str(config))
    assert result.exit_code == 1
    said = "an older version made this database - `dicom-node serve` brings it up to date, after a backup"
    assert said in result.stderr


def test_the_backup_before_an_upgrade(config: Path, tmp_path: Path) -> None:
    revision = schema_revision(tmp_path / "node" / "node.sqlite3")
    result = run("backup", str(tmp_path / "backup"), "--images", "--config", str(config))
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "backup" / "manifest.json").read_text())
    assert manifest["schema_revision"] == revision
    assert sorted(manifest["files"]) == ["node.sqlite3", "results/seg", "results/sr"]
    assert schema_revision(tmp_path / "backup" / "node.sqlite3") == revision


def test_the_doctor_says_so(config: Path) -> None:
    result = run("doctor", "--config", str(config))
    assert "of an older version" in result.stdout
    assert "a start brings it up to date" in result.stdout


def test_a_restore_by_the_new_version_says_that_it_brought_it_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "node").mkdir()
    old_database(tmp_path / "node" / "node.sqlite3", "0003")
    config = tmp_path / "config.toml"
    config.write_text(CONFIG.format(port=11999, away=11998))
    run("backup", str(tmp_path / "backup"), "--config", str(config))
    shutil.rmtree(tmp_path / "node")
    result = run("restore", str(tmp_path / "backup"), "--config", str(config))
    assert result.exit_code == 0, result.output
    db = open_as_it_is(tmp_path / "node" / "node.sqlite3")
    assert [entry.event for entry in entries(db)][0] == "database-migrated"
    assert [entry.event for entry in entries(db)][-1] == "backup-restored"
    db.close()
    assert schema_revision(tmp_path / "node" / "node.sqlite3") == SCHEMA_REVISION
    assert schema_revision(tmp_path / "backup" / "node.sqlite3") == "0003"
