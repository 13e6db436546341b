"""Who may come in, over real associations: the standard's reason for the peer, the whole reason in the audit log."""

import socket
import socketserver
import threading
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicom_node.association import AssociationFailed, associate
from dicom_node.delivery import echo
from dicom_node.receiver import gate, run_receiver
from dicom_node.receiver.gate import FREE_REJECTIONS
from dicom_node.send import RemoteNode
from storage.audit import entries, verify
from storage.database import open_database
from tests.support.dicom_network import DEADLINE_S, Node, eventually, make_settings, running_node
from tests.support.ports import free_port

CT = [(CTImageStorage, ExplicitVRLittleEndian)]
ELSEWHERE = {"name": "ct1", "ae_title": "CT1", "networks": ["192.0.2.0/24"]}
HERE = {"name": "ct2", "ae_title": "CT2", "networks": ["127.0.0.0/8", "::1"]}


def rejection(node: Node, title: str) -> AssociationFailed:
    with pytest.raises(AssociationFailed) as caught, associate(node.peer(), title, CT):
        pytest.fail("accepted")
    return caught.value


def test_a_known_title_from_a_wrong_address_is_rejected_like_an_unknown_one(tmp_path: Path) -> None:
    """The peer hears nothing that tells a guesser that the title exists (PS3.8 section 9.3.4: 1, 1, 3)."""
    with running_node(tmp_path, remote=[ELSEWHERE, HERE]) as node:
        heard = [rejection(node, title).what for title in ("CT1", "NOBODY")]
        with associate(node.peer(), "CT2", CT) as association:
            assert association.is_established
        node.wait_until_written()
        known, unknown = entries(node.db, event="association-rejected")
    assert heard == ["association rejected (rejected permanent): Calling AE title not recognised"] * 2
    assert known.detail == {
        "calling_ae_title": "CT1",
        "address": "127.0.0.1",
        "called_ae_title": "GLIANET",
        "result": "Rejected Permanent",
        "reason": "Calling AE title not recognised",
        "why": "the address is not in the networks of ct1",
    }
    assert unknown.detail["why"] == "no [[remote]] has this AE title"


def test_who_guesses_is_not_heard_any_more_and_gets_one_row(tmp_path: Path) -> None:
    with running_node(tmp_path, remote=[HERE]) as node:
        for number in range(FREE_REJECTIONS):
            assert "not recognised" in rejection(node, f"GUESS{number}").what
        for _ in range(30):
            with socket.create_connection(("127.0.0.1", node.receiver.port), DEADLINE_S) as guess:
                assert _is_cut_off(guess)
        db, peer = node.db, node.peer()
        assert not echo(peer, "CT2").ok
        node.receiver.registrar.wait_until_written(DEADLINE_S)
        assert len(list(entries(db, event="association-rejected"))) == FREE_REJECTIONS
    with running_node(tmp_path, remote=[HERE]) as node:
        (row,) = entries(node.db, event="address-shut-out")
        assert row.detail["connections_refused"] >= 31
        assert verify(node.db).ok


def _is_cut_off(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_a_sender_at_the_same_address_is_heard_whatever_its_neighbour_does(tmp_path: Path) -> None:
    with running_node(tmp_path, remote=[HERE]) as node:
        assert echo(node.peer(), "CT2").ok
        for number in range(FREE_REJECTIONS + 3):
            assert "not recognised" in rejection(node, f"GUESS{number}").what
        assert echo(node.peer(), "CT2").ok
        node.wait_until_written()
        assert len(list(entries(node.db, event="association-rejected"))) == FREE_REJECTIONS


def test_a_rejected_peer_that_stays_gives_its_place_back(tmp_path: Path) -> None:
    """It would have 30 s (acse_timeout_s) of the only place."""
    with running_node(tmp_path, receiver={"maximum_associations": 1}, remote=[HERE]) as node:
        request = _request_of(node, "CT1")
        with socket.create_connection(("127.0.0.1", node.receiver.port), DEADLINE_S) as stays:
            stays.sendall(request)
            assert stays.recv(1000)[:1] == b"\x03"  # A-ASSOCIATE-RJ
            assert stays.recv(1000) == b""  # closed by the receiver
            assert eventually(lambda: echo(node.peer(), "CT2").ok)


def _request_of(node: Node, title: str) -> bytes:
    """The bytes of an association request (PS3.8 section 9.3.2), taken from one that was accepted."""
    from pynetdicom import AE, evt

    sent: list[bytes] = []
    entity = AE(ae_title="CT2")
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    handlers = [(evt.EVT_DATA_SENT, lambda event: sent.append(bytes(event.data)))]
    entity.associate("127.0.0.1", node.receiver.port, ae_title="GLIANET", evt_handlers=handlers).release()
    assert eventually(lambda: not node.receiver.associations)
    return sent[0][:26] + title.ljust(16).encode() + sent[0][42:]


def test_a_listener_that_has_ended_ends_the_receiver(tmp_path: Path) -> None:
    """The supervisor starts it anew: a port that nobody listens on is silence to every scanner."""
    with running_node(tmp_path) as node:
        assert node.receiver.alive
        (listener,) = node.receiver._listeners
        socketserver.BaseServer.shutdown(listener)  # as an error in its loop would
        assert eventually(lambda: not node.receiver.alive)


def test_the_row_of_a_shut_out_comes_while_the_receiver_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "FREE_REJECTIONS", 2)
    monkeypatch.setattr(gate, "SHUT_S", 0.05)
    settings = make_settings(tmp_path, remote=[HERE])
    settings = settings.model_copy(
        update={"receiver": settings.receiver.model_copy(update={"port": free_port()})}
    )
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=run_receiver, args=(settings, stop, ready.set))
    thread.start()
    try:
        assert ready.wait(DEADLINE_S)
        peer = RemoteNode("GLIANET", "127.0.0.1", settings.receiver.port)
        assert [echo(peer, title).ok for title in ("GUESS1", "GUESS2")] == [False, False]
        db = open_database(settings.storage.folder / "node.sqlite3")
        assert eventually(lambda: len(list(entries(db, event="address-shut-out"))) == 1)
        db.close()
    finally:
        stop.set()
        thread.join(DEADLINE_S)
