"""`dicom-node purge`: what is due, or one series; shown first, told in the audit log."""

import json
from pathlib import Path

import pytest

from storage.states import SeriesState
from tests.dicom_node.commands.called_node import Site
from tests.support.ended import make_done, spooled
from tests.support.head_series import HeadSeries


@pytest.fixture
def done(site: Site, tmp_path: Path) -> HeadSeries:
    return make_done(site.pipeline, tmp_path)


def keep_no_images(site: Site) -> None:
    site.rewrite("[storage]", "[retention]\nsource_days = 1e-6\nspare_gib = 0.0\n[storage]")


def test_a_dry_run_shows_what_would_go_and_deletes_nothing(site: Site, done: HeadSeries) -> None:
    keep_no_images(site)
    size = sum(site.pipeline.spool.absolute(path).stat().st_size for path in spooled(site.pipeline))
    result = site.run("purge", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].startswith("would delete  images ")
    assert "8 files  ended 2026-01-15 10:00 UTC  age" in result.stdout
    assert done.uid in result.stdout
    shown = json.loads(site.run("purge", "--dry-run", "--json").stdout)
    assert (shown["dry_run"], shown["bytes"], len(shown["deletions"])) == (True, size, 1)
    assert shown["deletions"][0]["series_instance_uid"] == done.uid
    assert len(spooled(site.pipeline)) == 8
    assert site.pipeline.audit("images-deleted") == []


def test_what_is_due_is_deleted_in_the_name_of_who_asked(site: Site, done: HeadSeries) -> None:
    keep_no_images(site)
    result = site.run("purge")
    assert result.stdout.splitlines()[-1].startswith("deleted: 1 of 1, ")
    assert spooled(site.pipeline) == []
    (entry,) = site.pipeline.audit("images-deleted")
    assert entry.actor.startswith("user:")
    assert site.run("purge").stdout == "deleted: 0 of 0, 0.0 MiB\n"


def test_one_series_goes_whatever_the_settings_say(site: Site, done: HeadSeries) -> None:
    site.run("purge", done.uid)
    assert spooled(site.pipeline) == []
    assert len(list(site.pipeline.folders.results.rglob("*.dcm"))) == 2
    assert site.pipeline.audit("images-deleted")[0].detail["because"] == "asked"
    again = site.run("purge", done.uid)
    assert (again.exit_code, "nothing of it is here any more" in again.stderr) == (1, True)
    shown = json.loads(site.run("purge", done.uid, "--results", "--json").stdout)
    assert [(one["kind"], one["deleted"]) for one in shown["deletions"]] == [("results", True)]
    assert not list(site.pipeline.folders.results.rglob("*.dcm"))


def test_a_series_that_is_not_finished_is_refused(site: Site, failed: HeadSeries) -> None:
    result = site.run("purge", failed.uid)
    assert result.exit_code == 1
    assert "has not ended well (FAILED)" in result.stderr
    assert len(spooled(site.pipeline)) == 8


def test_a_series_that_is_not_known(site: Site) -> None:
    assert "no such series" in site.run("purge", "1.2.9").stderr
    assert site.run("purge", "--results").exit_code == 2


def test_a_purged_series_says_so_when_it_is_to_be_analysed_or_tried_again(site: Site, done: HeadSeries) -> None:
    site.run("purge", done.uid)
    for command in ("reanalyse", "retry"):
        result = site.run(command, done.uid)
        assert result.exit_code == 1
    assert "send the whole series again" in site.run("reanalyse", done.uid).stderr
    assert site.pipeline.row(done).state == SeriesState.DONE
    assert "images deleted" in site.run("status").stdout
