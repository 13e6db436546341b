"""The receiver and storage commitment: what scanners ask for is committed to, or refused for its reason."""

import gc
from hashlib import sha256
from pathlib import Path
from weakref import WeakSet

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from storage.audit import verify
from storage.commitment_requests import request_overview
from tests.support.commitment_scanner import Scanner, ask, ct, ended, events, send
from tests.support.committing_archive import Instance
from tests.support.dicom_network import DEADLINE_S, eventually, make_ct, running_node, write_ct
from tests.support.outbox import SERIES


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_what_lies_here_is_committed_to_over_the_association_that_asks(tmp_path: Path, syntax: str) -> None:
    """Though it was sent a moment ago: rows that are still to be written are waited for."""
    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        with scanner.association(syntax=syntax) as association:
            send(association, 1, 2, 3)
            assert ask(association, [ct(1), ct(2), ct(3)]) == 0x0000
            kind, kept, failed = scanner.report()
        assert (kind, failed) == (1, {})
        assert kept == {uid: sop_class for sop_class, uid in (ct(1), ct(2), ct(3))}
        assert str(scanner.reports[0][1].TransactionUID) == "1.2.3"
        told = ended(node)
        assert told.series_instance_uid == SERIES
        assert told.detail["over"] == "the association that asked"
        assert (told.detail["committed"], told.detail["failed"]) == (3, 0)
        (asked,) = events(node, "commitment-asked")
        assert (asked.actor, asked.detail["instances"]) == ("CT1", 3)
        assert verify(node.db).ok


def test_nothing_is_kept_of_an_association_that_has_ended(tmp_path: Path) -> None:
    """But of the newest, until the next comes: what is kept of each would add up over months."""
    seen: WeakSet[Association] = WeakSet()

    def left() -> int:
        gc.collect()
        return len(seen)

    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        for number in range(1, 5):
            with scanner.association() as association:
                seen.update(node.receiver.associations)
                assert ask(association, [ct(1)], f"1.2.{number}") == 0x0000
                scanner.report(number)
            assert left() > 0
        node.wait_until_written()
        assert eventually(lambda: left() <= 1)


def test_each_instance_that_is_not_safe_here_fails_for_its_reason(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        files = [write_ct(tmp_path / "sent", make_ct(number)) for number in range(1, 7)]
        node.send(*files, calling="CT1")
        node.send(write_ct(tmp_path / "other", make_ct(2, value=9)), calling="CT1")  # other bytes, same UID
        assert node.receiver.registrar.wait_until_written(DEADLINE_S)
        spooled = {path.name: path for path in node.spool.rglob("*.dcm")}
        changed, cut, gone = (spooled[name_of(number)] for number in (3, 4, 5))
        flip_last_byte(changed)
        cut.write_bytes(cut.read_bytes()[:-1])
        gone.unlink()
        instances = [ct(1), ct(2), ct(3), ct(4), ct(5), (MRImageStorage, f"{SERIES}.6"), ct(7), (MRImageStorage, "1.9")]
        with scanner.association() as association:
            assert ask(association, instances) == 0x0000
            kind, kept, failed = scanner.report()
    assert kind == 2
    assert list(kept) == [f"{SERIES}.1"]
    assert failed == {
        f"{SERIES}.2": 0x0110,  # in conflict
        f"{SERIES}.3": 0x0110,  # a byte has changed on the disk
        f"{SERIES}.4": 0x0110,  # its file is too short
        f"{SERIES}.5": 0x0112,  # its file is gone
        f"{SERIES}.6": 0x0119,  # it is no MR
        f"{SERIES}.7": 0x0112,  # never received
        "1.9": 0x0122,  # MR is not taken here
    }


def name_of(number: int) -> str:
    """Of an instance's file in the spool, as storage/spool.py states it."""
    return sha256(f"{SERIES}.{number}".encode()).hexdigest()[:32] + ".dcm"


def flip_last_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def test_a_second_request_under_the_same_transaction_is_told_so(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        with scanner.association() as association:
            send(association, 1, 2)
            assert ask(association, [ct(1)]) == 0x0000
            assert scanner.report(1)[0] == 1
            ended(node)
            assert ask(association, [ct(2)]) == 0x0000
            assert scanner.report(2) == (2, {}, {f"{SERIES}.2": 0x0131})


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(
    ("instances", "transaction_uid", "changes", "status"),
    [
        ([ct(1)], "1.2.3", {"action_type": 2}, 0x0123),
        ([ct(1)], "1.2.3", {"instance_uid": "1.2.3.4"}, 0x0112),
        ([], "1.2.3", {}, 0x0115),
        ([ct(1)], "../../etc", {}, 0x0115),
        ([(CTImageStorage, "Doe^Jane")], "1.2.3", {}, 0x0115),
    ],
)
def test_requests_that_make_no_sense_are_refused_and_leave_no_words_of_theirs(
    tmp_path: Path, instances: list[Instance], transaction_uid: str, changes: dict[str, object], status: int
) -> None:
    with running_node(tmp_path) as node:
        scanner = Scanner(node)
        with scanner.association() as association:
            assert ask(association, instances, transaction_uid, **changes) == status
            send(association, 1)  # the association goes on
        node.wait_until_written()
        (refused,) = events(node, "commitment-request-refused")
        assert refused.detail["status"] == f"0x{status:04X}"
        assert "Doe" not in str(refused.detail)
        assert request_overview(node.db) == []


def test_commitment_is_not_offered_where_it_is_switched_off(tmp_path: Path) -> None:
    with running_node(tmp_path, commitment={"offer": False}) as node:
        scanner = Scanner(node)
        with scanner.association() as association:
            assert ask(association, [ct(1)]) == 0x0124


def test_who_may_not_send_may_not_ask(tmp_path: Path) -> None:
    with running_node(tmp_path, receiver={"calling_ae_titles": ["CT1"]}) as node:
        entity = AE(ae_title="STRANGER")
        entity.add_requested_context(StorageCommitmentPushModel)
        assert entity.associate("127.0.0.1", node.receiver.port, ae_title="GLIANET").is_rejected
