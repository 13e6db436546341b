"""What `check-config` says of the storage folder, its disk and its database."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dicom_node.commands.check_storage import check_storage
from dicom_node.commands.checks import Check
from dicom_node.settings import load_settings
from tests.dicom_node.commands.called_node import Site
from tests.support.head_series import HeadSeries


def said(site: Site) -> dict[str, Check]:
    return {check.name: check for check in check_storage(load_settings(site.config))}


def database_of(site: Site) -> Path:
    """Closed, and no log beside it."""
    site.pipeline.db.close()
    return site.pipeline.folders.database


def set_revision(database: Path, revision: str) -> None:
    with closing(sqlite3.connect(database)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        raw.commit()


def test_a_sound_folder_is_looked_at_without_a_trace(site: Site) -> None:
    database = database_of(site)
    before = sorted(database.parent.iterdir())
    found = said(site)
    assert {name: check.level for name, check in found.items()} == {"folder": "ok", "disk": "ok", "database": "ok"}
    assert found["disk"].outcome.endswith(" GiB free")
    assert sorted(database.parent.iterdir()) == before


def test_while_a_node_has_it_open(site: Site, received: HeadSeries) -> None:
    assert said(site)["database"].level == "ok"


def test_a_database_of_a_newer_version_refuses_the_start(site: Site) -> None:
    set_revision(database_of(site), "9999")
    check = said(site)["database"]
    assert (check.refuses, check.may_pass) == (True, False)
    assert check.outcome.startswith("a newer version made it (9999; this one knows 0")


def test_a_database_of_an_older_version_is_a_warning(site: Site) -> None:
    set_revision(database_of(site), "0003")
    check = said(site)["database"]
    assert (check.level, check.outcome) == ("warning", "of an older version (0003); a start brings it up to date")


@pytest.mark.parametrize(("how", "what"), [("remove", "is not there"), ("empty", "is empty")])
def test_a_lost_database_beside_images_refuses_the_start(
    site: Site, received: HeadSeries, how: str, what: str
) -> None:
    database = database_of(site)
    if how == "remove":
        database.unlink()
    else:
        os.truncate(database, 0)
    check = said(site)["database"]
    assert (check.refuses, check.may_pass) == (True, False)
    assert f"the database {what}, and images or results are" in check.outcome


@pytest.mark.parametrize("folder", ["node", "later"])
def test_nothing_is_said_of_a_database_where_no_node_has_run(site: Site, folder: str) -> None:
    database_of(site).unlink()
    site.rewrite('folder = "node"', f'folder = "{folder}"')
    assert "database" not in said(site)


def test_a_file_that_is_no_database_is_left_to_the_start_and_the_doctor(site: Site) -> None:
    database_of(site).write_text("no database\n" * 1000)
    check = said(site)["database"]
    assert (check.level, check.refuses) == ("error", False)
    assert "dicom-node doctor" in check.outcome
