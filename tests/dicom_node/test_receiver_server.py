"""The receiver as a server: who may connect, limits, the audit rows, its start and its end."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless

from dicom_node.association import AssociationFailed, associate
from dicom_node.delivery import echo
from dicom_node.errors import NodeError
from dicom_node.receiver import run_receiver
from dicom_node.receiver.gate import FREE_REJECTIONS
from dicom_node.send import RemoteNode
from dicom_node.store_file import store_file
from storage.audit import entries, verify
from storage.database import open_database
from storage.series import get_series, instance_paths
from tests.support.dicom_network import (
    DEADLINE_S,
    STUDY,
    eventually,
    make_ct,
    make_settings,
    program,
    running_node,
    write_ct,
)

CT = [(CTImageStorage, ExplicitVRLittleEndian)]
SERIES = f"{STUDY}.1"


def test_wrong_called_and_calling_ae_titles_are_rejected_and_audited(tmp_path: Path) -> None:
    with running_node(tmp_path, receiver={"calling_ae_titles": ["CT1", "CT2"]}) as node:
        with (
            pytest.raises(AssociationFailed, match="Calling AE title not recognised"),
            associate(node.peer(), "STRANGER", CT),
        ):
            pytest.fail("accepted")
        with (
            pytest.raises(AssociationFailed, match="Called AE title not recognised"),
            associate(node.peer("OTHERNODE"), "CT1", CT),
        ):
            pytest.fail("accepted")
        with associate(node.peer(), "CT2", CT) as association:
            assert association.is_established
        node.wait_until_written()
        rejected = list(entries(node.db, event="association-rejected"))
        accepted = list(entries(node.db, event="association-accepted"))
    assert [entry.actor for entry in rejected] == ["STRANGER", "CT1"]
    assert rejected[0].detail["reason"] == "Calling AE title not recognised"
    assert rejected[1].detail["called_ae_title"] == "OTHERNODE"
    assert rejected[1].detail["address"] == "127.0.0.1"
    assert [(entry.actor, entry.detail["stored"]) for entry in accepted] == [("CT2", 0)]


def test_one_association_too_many_is_rejected_for_the_moment(tmp_path: Path) -> None:
    with running_node(tmp_path, receiver={"maximum_associations": 1}) as node:
        with associate(node.peer(), "CT1", CT) as first:
            with (
                pytest.raises(AssociationFailed, match=r"transient\): Local limit exceeded") as caught,
                associate(node.peer(), "CT2", CT),
            ):
                pytest.fail("accepted")
            assert first.is_established
        assert caught.value.retry_helps


def test_a_sender_that_is_rejected_for_the_moment_again_and_again_has_some_rows(tmp_path: Path) -> None:
    with running_node(tmp_path, receiver={"maximum_associations": 1}) as node:
        with associate(node.peer(), "CT1", CT):
            for _ in range(FREE_REJECTIONS + 3):
                with pytest.raises(AssociationFailed), associate(node.peer(), "CT2", CT):
                    pytest.fail("accepted")
        node.wait_until_written()
        assert len(list(entries(node.db, event="association-rejected"))) == FREE_REJECTIONS


def test_pdu_size_is_announced_to_the_sender(tmp_path: Path) -> None:
    with (
        running_node(tmp_path, receiver={"maximum_pdu_bytes": 32768}) as node,
        associate(node.peer(), "CT1", CT) as association,
    ):
        assert association.acceptor.maximum_length == 32768


@pytest.mark.parametrize("record_echoes", [False, True])
def test_echo_is_answered_and_audited_only_where_wanted(tmp_path: Path, record_echoes: bool) -> None:
    with running_node(tmp_path, audit={"record_echoes": record_echoes}) as node:
        result = echo(node.peer(), "MONITOR")
        node.wait_until_written()
        rows = list(entries(node.db, event="association-accepted"))
    assert result.ok
    assert [row.actor for row in rows] == (["MONITOR"] if record_echoes else [])


def test_aborted_association_keeps_what_was_confirmed(tmp_path: Path) -> None:
    files = [write_ct(tmp_path, make_ct(number)) for number in (1, 2)]
    with running_node(tmp_path) as node:
        with pytest.raises(ZeroDivisionError), associate(node.peer(), "CT1", CT) as association:
            assert all(store_file(association, file, 0).status == 0 for file in files)
            raise ZeroDivisionError
        node.wait_until_written()
        (row,) = entries(node.db, event="association-accepted")
        assert get_series(node.db, SERIES).instance_count == 2
    assert (row.detail["end"], row.detail["stored"]) == ("aborted", 2)


def test_refused_transfer_syntax_of_ct_is_counted_in_the_audit_row(tmp_path: Path) -> None:
    lossy = (CTImageStorage, "1.2.840.10008.1.2.4.50")
    mammography = ("1.2.840.10008.5.1.4.1.1.1.2", ExplicitVRLittleEndian)
    with running_node(tmp_path) as node:
        with associate(node.peer(), "CT1", [*CT, lossy, mammography]):
            pass
        node.wait_until_written()
        (row,) = entries(node.db, event="association-accepted")
    assert row.detail["contexts_refused"] == 1


def test_silent_connection_in_the_middle_of_a_pdu_is_closed(tmp_path: Path) -> None:
    limits = {"network_timeout_s": 0.2, "acse_timeout_s": 0.2, "maximum_associations": 1}
    with running_node(tmp_path, receiver=limits) as node:
        with socket.create_connection(("127.0.0.1", node.receiver.port), DEADLINE_S) as silent:
            silent.sendall(b"\x01\x00\x00\x00\x10\x00half")
            assert silent.recv(1000) == b""  # closed by the receiver
        assert eventually(lambda: echo(node.peer(), "MONITOR").ok)  # the only place is free again


def test_probe_without_a_request_gives_its_place_back(tmp_path: Path) -> None:
    with running_node(tmp_path, receiver={"maximum_associations": 1, "acse_timeout_s": 3600.0}) as node:
        for _ in range(3):
            socket.create_connection(("127.0.0.1", node.receiver.port), DEADLINE_S).close()
        assert eventually(lambda: echo(node.peer(), "MONITOR").ok)


def test_peer_that_is_no_dicom_application_does_no_harm(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        with socket.create_connection(("127.0.0.1", node.receiver.port), DEADLINE_S) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while stranger.recv(1000):
                pass
        assert echo(node.peer(), "MONITOR").ok


def test_end_of_the_receiver_ends_associations_and_writes_rows(tmp_path: Path) -> None:
    file = write_ct(tmp_path, make_ct(1))
    with running_node(tmp_path) as node:
        peer, settings = node.peer(), node.settings
        connection = associate(peer, "CT1", CT)
        association = connection.__enter__()
        assert store_file(association, file, 0).status == 0
    association.join(DEADLINE_S)
    assert association.is_aborted
    assert not echo(peer, "MONITOR").ok
    db = open_database(settings.storage.folder / "node.sqlite3")
    assert get_series(db, SERIES).instance_count == 1
    assert verify(db).ok
    db.close()


def test_run_receiver_is_ready_and_stops(tmp_path: Path) -> None:
    ready, stop = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = make_settings(tmp_path)
    settings = settings.model_copy(
        update={"receiver": settings.receiver.model_copy(update={"port": port, "host": "localhost"})}
    )
    thread = threading.Thread(target=run_receiver, args=(settings, stop, ready.set))
    thread.start()
    try:
        assert ready.wait(DEADLINE_S)
        assert echo(RemoteNode("GLIANET", "localhost", port), "MONITOR").ok
    finally:
        stop.set()
        thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_port_in_use_is_explained(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = make_settings(tmp_path)
        receiver = settings.receiver.model_copy(update={"port": taken.getsockname()[1]})
        with pytest.raises(NodeError, match="cannot listen: Address already in use"):
            run_receiver(settings.model_copy(update={"receiver": receiver}), threading.Event())


def test_unknown_count_attribute_is_named(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, assembly={"announced_count_attributes": ["NumberOfDragons"]})
    with pytest.raises(NodeError, match="NumberOfDragons"):
        run_receiver(settings, threading.Event())


def test_storescu_of_dcmtk_is_served(tmp_path: Path) -> None:
    storescu = program("storescu")
    folder = tmp_path / "series"
    for number in range(1, 6):
        write_ct(folder, make_ct(number, size=64))
    with running_node(tmp_path) as node:
        command = [storescu, "-aet", "CT1", "-aec", "GLIANET", "+sd", "127.0.0.1", str(node.receiver.port)]
        subprocess.run([*command, str(folder)], check=True, capture_output=True, timeout=DEADLINE_S)
        node.wait_until_written()
        row = get_series(node.db, SERIES)
        spooled = [dcmread(node.spool / one.path) for one in instance_paths(node.db, row.id)]
    assert (row.instance_count, row.sender_ae_title) == (5, "CT1")
    for dataset in spooled:
        assert (dataset.pixel_array == dataset.InstanceNumber).all()


def test_dcmtk_sends_rle_that_it_made_itself(tmp_path: Path) -> None:
    storescu, dcmcrle = program("storescu"), program("dcmcrle")
    plain, compressed = write_ct(tmp_path, make_ct(3, size=64)), tmp_path / "rle.dcm"
    subprocess.run([dcmcrle, str(plain), str(compressed)], check=True, timeout=DEADLINE_S)
    with running_node(tmp_path) as node:
        command = [storescu, "-xr", "-aec", "GLIANET", "127.0.0.1", str(node.receiver.port), str(compressed)]
        subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
        node.wait_until_written()
        (one,) = instance_paths(node.db, get_series(node.db, SERIES).id)
        dataset = dcmread(node.spool / one.path)
    assert one.transfer_syntax_uid == RLELossless
    assert (dataset.pixel_array == 3).all()


def test_receiver_and_delivery_never_import_torch() -> None:
    code = (
        "import sys, dicom_node.receiver, dicom_node.delivery, dicom_node.send, dicom_node.demo.archive\n"
        "print([name for name in ('torch', 'highdicom', 'scipy', 'SimpleITK') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert printed.stdout.strip() == "[]"
