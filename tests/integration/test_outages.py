"""A PACS that is away for a while, and a node that is told to stop in the middle of its work."""

from pathlib import Path

from storage.outbox import deliveries
from storage.states import DeliveryState, SeriesState
from tests.integration.conftest import Model, Undisturbed
from tests.support.archive import TestArchive, running_archive
from tests.support.head_series import make_head_series, scanner, send, store_some
from tests.support.node import END_WITHIN_S, NodeUnderTest


def test_a_pacs_that_is_down_gets_its_results_later_and_holds_up_no_other(
    archive: TestArchive, tmp_path: Path, model: Model
) -> None:
    absent = TestArchive()
    series = make_head_series(tmp_path, "outage")
    destinations = [{**absent.destination, "name": "absent"}, archive.destination]
    with NodeUnderTest(tmp_path / "node", destinations, model) as node:
        send(node.peer, series.files)
        row = node.wait_for_state(series.uid, SeriesState.DELIVERING)

        def states() -> dict[str, tuple[DeliveryState, bool]]:
            found = deliveries(node.database, row.id)
            return {
                one.destination: (one.state, one.attempts > 0 and one.last_error is not None) for one in found
            }

        expected = {"archive": (DeliveryState.DELIVERED, False), "absent": (DeliveryState.PENDING, True)}
        node.wait_until(
            lambda: (
                {
                    name: (state, state == DeliveryState.PENDING and tried)
                    for name, (state, tried) in states().items()
                }
                == expected
            ),
            END_WITHIN_S,
            "one PACS has its results while the other is away",
        )
        assert node.state(series.uid) == SeriesState.DELIVERING
        absent.start()
        try:
            assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
            assert absent.copies == archive.copies
            assert len(archive.copies) == 2
        finally:
            absent.stop()
        node.check_intact()
        assert node.audit("delivery-postponed", series.uid)


def test_sigterm_in_the_middle_of_an_analysis_gives_the_series_back(
    node: NodeUnderTest, archive: TestArchive, undisturbed: Undisturbed
) -> None:
    series = undisturbed.series
    with scanner(node.peer, series.files) as association:
        assert len(store_some(association, series.files)) == len(series.files)
        node.wait_until_analysing(series.uid, patches=1)
        node.stop()
        assert not association.is_established
    row = node.series(series.uid)
    assert row is not None
    assert (row.state, row.lease_owner, row.attempts, row.crashes) == (SeriesState.QUEUED, None, 0, 0)
    assert [entry.detail["state"] for entry in node.audit("lease-given-back")] == [SeriesState.QUEUED]
    assert node.audit()[-1].event == "node-stopped"
    node.check_intact()

    node.start()
    assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
    assert {one.Modality: one.SOPInstanceUID for one in archive.objects()} == undisturbed.result_uids


def test_a_second_node_on_the_same_folder_refuses_to_start(
    node: NodeUnderTest, tmp_path: Path, model: Model
) -> None:
    second = NodeUnderTest(tmp_path / "second", (), {**model, "storage": {"folder": str(node.storage)}})
    refused = second.command("serve")
    assert refused.returncode == 1
    assert "another node (process " in refused.stderr
    with running_archive():
        assert node.command("status").returncode == 0
