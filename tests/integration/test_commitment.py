"""Storage commitment of the whole node: with Orthanc on both sides, and with an archive while processes are killed."""

from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.uid import CTImageStorage

from storage.outbox import deliveries
from storage.states import DeliveryState, SeriesState
from tests.integration.conftest import Model
from tests.support.committing_archive import CommittingArchive, committing_archive
from tests.support.head_series import make_head_series, send
from tests.support.node import AE_TITLE, END_WITHIN_S, NodeUnderTest
from tests.support.orthanc import AE_TITLE as ORTHANC
from tests.support.orthanc import Orthanc, orthanc

COMMITTING = {"storage_commitment": True, "commitment_wait_s": 0.2}


def test_orthanc_commits_itself_and_asks_for_commitment(tmp_path: Path, model: Model) -> None:
    """As PACS it reports over an association of its own; as scanner it asks, hangs up, and is called back."""
    series = make_head_series(tmp_path, "orthanc-commitment", volume_seed=2)
    with orthanc(tmp_path / "archive") as archive:
        tables = {**model, "commitment": {"requesters": [f"{ORTHANC}@127.0.0.1:{archive.dicom_port}"]}}
        with NodeUnderTest(tmp_path / "node", [{**archive.destination, **COMMITTING}], tables) as node:
            archive.name_modality("node", AE_TITLE, node.port)
            archive.send("node", archive.upload(series.files))
            row = node.wait_until_ended(series.uid)
            assert row.state == SeriesState.DONE, node.log_tail()
            (delivered,) = node.audit("delivered")
            (requested,) = node.audit("commitment-requested")
            assert delivered.actor == ORTHANC
            assert delivered.detail["transaction_uid"] == requested.detail["transaction_uid"]
            assert sorted(delivered.detail["objects"]) == sorted(requested.detail["objects"])
            check_answers(node, archive, [str(dcmread(file).SOPInstanceUID) for file in series.files])
            node.check_intact()


def check_answers(node: NodeUnderTest, archive: Orthanc, uids: list[str]) -> None:
    """What was received is committed to; what never came is not."""
    kept = [(CTImageStorage, uid) for uid in uids]
    report = reported(node, archive, archive.ask_for_commitment("node", kept))
    assert report["Status"] == "Success"
    assert {one["SOPInstanceUID"] for one in report["Success"]} == set(uids)
    report = reported(node, archive, archive.ask_for_commitment("node", [kept[0], (CTImageStorage, "1.2.3.4.5")]))
    assert report["Status"] == "Failure"
    assert [one["SOPInstanceUID"] for one in report["Success"]] == [uids[0]]
    assert [(one["SOPInstanceUID"], one["FailureReason"]) for one in report["Failures"]] == [("1.2.3.4.5", 0x0112)]


def reported(node: NodeUnderTest, archive: Orthanc, transaction: str) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        report = archive.commitment_report(transaction)
        return report if report["Status"] != "Pending" else None

    report = node.wait_until(there, END_WITHIN_S, "Orthanc has the report")
    assert report is not None
    return dict(report)


def test_a_node_that_is_killed_between_request_and_report_loses_neither(tmp_path: Path, model: Model) -> None:
    """It asks again after its start, and a report on the first request ends the delivery: nothing is sent twice."""
    series = make_head_series(tmp_path, "killed-commitment")
    with committing_archive() as archive:
        destination = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": archive.port}
        destination |= {"storage_commitment": True, "commitment_wait_s": 5.0, "commitment_report_s": 1.0}
        with NodeUnderTest(tmp_path / "node", [destination], model) as node:
            send(node.peer, series.files)
            wait_until_asked(node, archive, 1)
            node.kill()
            node.start()
            wait_until_asked(node, archive, 2)
            row = node.series(series.uid)
            assert row is not None and row.state == SeriesState.DELIVERING
            (delivery,) = deliveries(node.database, row.id)
            assert delivery.state == DeliveryState.STORED
            assert archive.report(node.port, archive.asked[0]) == 0x0000
            assert node.wait_until_ended(series.uid).state == SeriesState.DONE, node.log_tail()
            assert archive.report(node.port, archive.asked[1]) == 0x0000  # too late, and harmless
            assert sorted(archive.stored) == sorted(uid for _, uid in archive.asked[0].instances)
            transactions = [asked.transaction_uid for asked in archive.asked]
            assert [row.detail["transaction_uid"] for row in node.audit("commitment-requested")] == transactions
            assert [row.detail["transaction_uid"] for row in node.audit("delivered")] == transactions[:1]
            node.check_intact()


def wait_until_asked(node: NodeUnderTest, archive: CommittingArchive, times: int) -> None:
    node.wait_until(lambda: len(archive.asked) >= times, END_WITHIN_S, f"the archive is asked {times} times")
