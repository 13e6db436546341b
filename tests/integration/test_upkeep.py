"""Backup, deletion and repair of a whole node: what comes out is the same results under the same UIDs."""

import os
from pathlib import Path

from storage.states import SeriesState
from tests.integration.conftest import Model, Undisturbed
from tests.support.archive import TestArchive
from tests.support.head_series import send
from tests.support.node import END_WITHIN_S, NodeUnderTest

SOON = {"retention": {"drop_source_when_delivered": True, "spare_gib": 0.0, "interval_s": 0.2}}


def test_a_backup_of_a_working_node_goes_on_elsewhere(
    node: NodeUnderTest, archive: TestArchive, undisturbed: Undisturbed, model: Model, tmp_path: Path
) -> None:
    """Made while the series is on its way to the PACS; then the machine is lost."""
    archive.hold_from(1)
    send(node.peer, undisturbed.series.files)
    archive.wait_until_held(END_WITHIN_S)
    saved = node.command("backup", str(tmp_path / "backup"))
    assert saved.returncode == 0, saved.stderr
    node.kill()
    archive.let_go()

    elsewhere = NodeUnderTest(tmp_path / "elsewhere", [archive.destination], model)
    restored = elsewhere.command("restore", str(tmp_path / "backup"))
    assert restored.returncode == 0, restored.stderr
    with elsewhere:
        row = elsewhere.wait_until_ended(undisturbed.series.uid)
        assert row.state == SeriesState.DONE, elsewhere.log_tail()
        assert row.revision == 1
        check_results(archive, undisturbed)
        elsewhere.check_intact()
        assert len(elsewhere.audit("backup-restored")) == 1


def test_images_go_as_soon_as_their_results_are_delivered(
    archive: TestArchive, undisturbed: Undisturbed, model: Model, tmp_path: Path
) -> None:
    """And the same series, sent again, leads to the same results."""
    series = undisturbed.series
    with NodeUnderTest(tmp_path / "node", [archive.destination], {**model, **SOON}) as node:
        for revision in (1, 2):
            send(node.peer, series.files)
            row = node.wait_until_ended(series.uid, revision=revision)
            assert row.state == SeriesState.DONE, node.log_tail()
            node.wait_until(lambda: no_images(node), END_WITHIN_S, "the images go")
        assert [row.detail["because"] for row in node.audit("images-deleted")] == ["delivered"] * 2
        check_results(archive, undisturbed)
        node.check_intact()


def test_a_node_whose_database_is_lost_brings_back_the_same_results(
    node: NodeUnderTest, archive: TestArchive, undisturbed: Undisturbed
) -> None:
    series = undisturbed.series
    send(node.peer, series.files)
    assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
    node.stop()
    node.close()
    os.truncate(node.storage / "node.sqlite3", 0)
    repaired = node.command("doctor", "--repair")
    assert repaired.returncode == 0, repaired.stdout
    assert "Lost: the audit log, all of it" in repaired.stdout
    node.start()
    assert node.wait_until_ended(series.uid, revision=2).state == SeriesState.DONE, node.log_tail()
    check_results(archive, undisturbed)
    node.check_intact()


def no_images(node: NodeUnderTest) -> bool:
    return not any((node.storage / "spool").iterdir())


def check_results(archive: TestArchive, undisturbed: Undisturbed) -> None:
    """One set, under the UIDs of an undisturbed run; what came more than once had the same bytes."""
    assert {str(one.Modality): str(one.SOPInstanceUID) for one in archive.objects()} == undisturbed.result_uids
    archive.check_copies_agree()
