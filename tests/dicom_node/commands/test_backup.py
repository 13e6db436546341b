"""`dicom-node backup` and `restore`, as a user calls them."""

import json
from pathlib import Path

import pytest

from storage.audit import verify
from storage.database import open_database
from tests.dicom_node.commands.called_node import Site
from tests.support.ended import make_done, spooled
from tests.support.head_series import HeadSeries


@pytest.fixture
def done(site: Site, tmp_path: Path) -> HeadSeries:
    return make_done(site.pipeline, tmp_path)


def test_there_and_back(site: Site, done: HeadSeries, tmp_path: Path) -> None:
    chain = verify(site.pipeline.db)
    saved = site.run("backup", str(tmp_path / "backup"), "--images")
    assert saved.exit_code == 0
    assert f"audit log: {chain.rows} rows, last hash {chain.last_hash}" in saved.stdout
    assert "keep it as you keep the storage folder" in saved.stdout
    assert site.pipeline.audit("backup-made")[0].actor.startswith("user:")

    site.rewrite('folder = "node"', 'folder = "elsewhere"')
    restored = site.run("restore", str(tmp_path / "backup"))
    assert restored.exit_code == 0, restored.stderr
    elsewhere = tmp_path / "elsewhere"
    assert sorted(path.name for path in (elsewhere / "spool").rglob("*.dcm")) == sorted(
        Path(path).name for path in spooled(site.pipeline)
    )
    db = open_database(elsewhere / "node.sqlite3")
    assert verify(db).ok
    db.close()
    assert done.uid in site.run("status").stdout
    again = site.run("restore", str(tmp_path / "backup"))
    assert (again.exit_code, "there is a node already" in again.stderr) == (1, True)


def test_a_file_that_is_not_there_is_told_by_the_exit_status(site: Site, done: HeadSeries, tmp_path: Path) -> None:
    report = next(site.pipeline.folders.results.rglob("sr.dcm"))
    report.unlink()
    result = site.run("backup", str(tmp_path / "backup"), "--json")
    assert result.exit_code == 1
    name = str(report.relative_to(site.pipeline.folders.root))
    assert json.loads(result.stdout)["missing"] == [name]
    assert f"NOT THERE, though a row names it: {name}" in site.run("backup", str(tmp_path / "second")).stdout


def test_what_is_no_backup(site: Site, tmp_path: Path) -> None:
    site.rewrite('folder = "node"', 'folder = "elsewhere"')
    result = site.run("restore", str(tmp_path))
    assert (result.exit_code, "this is no whole backup" in result.stderr) == (1, True)
