"""Reports of destinations on storage commitment, which come to the receiver over associations of their own."""

from contextlib import contextmanager
from pathlib import Path

from dicom_node.delivery import deliver_next
from dicom_node.settings import Settings
from storage.outbox import deliveries
from storage.series import get_series
from storage.states import DeliveryState, SeriesState
from tests.support.commitment_scanner import events
from tests.support.committing_archive import committing_archive
from tests.support.dicom_network import running_node
from tests.support.outbox import SERIES, filled_outbox


def with_pacs(port: int) -> dict[str, object]:
    """Settings of a node whose only destination is an archive that commits itself, as [[destination]]."""
    return {
        "name": "pacs", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": port,
        "storage_commitment": True, "commitment_wait_s": 0.01,
    }  # fmt: skip


@contextmanager
def asked_archive(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A receiver beside an outbox whose results the archive has taken, and was asked about under 2.25.1."""
    (tmp_path / "node").mkdir()
    with (
        filled_outbox(tmp_path / "node") as outbox,
        committing_archive() as archive,
        running_node(tmp_path, destination=[with_pacs(archive.port)]) as node,
    ):
        settings: Settings = node.settings
        for _ in range(2):
            assert deliver_next(
                outbox.db, settings.destinations[0], settings, outbox.root, "router:1:pacs",
                lambda: outbox.now, lambda: "2.25.1",
            )  # fmt: skip
        assert outbox.row.state == DeliveryState.STORED
        yield node, archive


def test_a_report_over_a_new_association_ends_the_series(tmp_path: Path) -> None:
    with asked_archive(tmp_path) as (node, archive):
        assert archive.report(node.receiver.port) == 0x0000
        assert get_series(node.db, SERIES).state == SeriesState.DONE
        (delivered,) = events(node, "delivered")
        assert delivered.detail["transaction_uid"] == "2.25.1"
        assert archive.report(node.receiver.port) == 0x0000  # once more
        (ignored,) = events(node, "commitment-report-ignored")
        assert ignored.detail["because"] == "late"


def test_a_failure_reported_over_a_new_association_has_it_sent_again(tmp_path: Path) -> None:
    with asked_archive(tmp_path) as (node, archive):
        archive.verdict = lambda instances: (instances[:1], [(one, 0x0110) for one in instances[1:]])
        assert archive.report(node.receiver.port) == 0x0000
        (row,) = deliveries(node.db, get_series(node.db, SERIES).id)
        assert row.state == DeliveryState.PENDING
        assert [one.role for one in row.outstanding] == ["sr"]


def test_a_report_for_another_transaction_and_one_from_somebody_else_are_answered_no(tmp_path: Path) -> None:
    with asked_archive(tmp_path) as (node, archive):
        asked = archive.asked[-1]
        other = type(asked)("2.25.99", asked.instances)
        assert archive.report(node.receiver.port, other) == 0x0110
        assert archive.report(node.receiver.port, calling="STRANGER") == 0x0110
        ignored = events(node, "commitment-report-ignored")
        assert [(row.actor, row.detail["because"]) for row in ignored] == [
            ("ARCHIVE", "unknown"),
            ("STRANGER", "foreign"),
        ]
        assert get_series(node.db, SERIES).state == SeriesState.DELIVERING
        assert archive.report(node.receiver.port) == 0x0000
        assert get_series(node.db, SERIES).state == SeriesState.DONE
