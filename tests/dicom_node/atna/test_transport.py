"""Syslog over TLS against a receiver, and against what goes wrong with one."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.atna.transport import RepositoryError, greet, sender
from dicom_node.atna_settings import AtnaSettings
from dicom_node.tls_files import TlsError
from dicom_node.tls_settings import TlsSettings
from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.syslog_receiver import Fault, SyslogReceiver, receiving

MESSAGES = [f"<85>1 message {number} {'x' * number}".encode() for number in (1, 500, 9000)]
SHORT_S = 0.3  # of a receiver that does not answer in the test


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def own(authority: Authority) -> TlsSettings:
    return authority.issue("node")


@pytest.fixture
def receiver(authority: Authority) -> Iterator[SyslogReceiver]:
    with receiving(authority.issue("repository")) as one:
        yield one


def atna(port: int, **values: object) -> AtnaSettings:
    return AtnaSettings.model_validate({"enabled": True, "host": "127.0.0.1", "port": port, **values})


def test_messages_arrive_whole_and_in_order(receiver: SyslogReceiver, own: TlsSettings) -> None:
    send = sender(atna(receiver.port), own)
    send(MESSAGES)
    assert receiver.messages == MESSAGES, "all have been read when `send` returns"
    send(MESSAGES[:1])
    assert receiver.messages == [*MESSAGES, MESSAGES[0]]


def test_more_than_a_socket_takes_at_once(receiver: SyslogReceiver, own: TlsSettings) -> None:
    many = [b"x" * 30_000 for _ in range(100)]
    sender(atna(receiver.port), own)(many)
    assert receiver.messages == many


def test_files_of_atna_stand_before_those_of_tls(
    receiver: SyslogReceiver, own: TlsSettings, tmp_path: Path
) -> None:
    strangers = Authority(tmp_path / "other", "Another CA").issue("node")
    named = {name: getattr(own, name) for name in ("certificate", "private_key", "trusted")}
    sender(atna(receiver.port, **named), strangers)(MESSAGES)
    assert receiver.messages == MESSAGES


def test_a_receiver_that_hangs_up_without_a_word_has_read_everything(
    receiver: SyslogReceiver, own: TlsSettings
) -> None:
    receiver.fault = Fault.SILENT_END
    sender(atna(receiver.port), own)(MESSAGES)
    assert receiver.messages == MESSAGES


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.NO_END, Fault.DEAF])
def test_what_may_not_have_arrived_is_said(receiver: SyslogReceiver, own: TlsSettings, fault: Fault) -> None:
    receiver.fault = fault
    timeout_s = 10.0 if fault is Fault.RESET else SHORT_S
    with pytest.raises(RepositoryError) as raised:
        sender(atna(receiver.port, timeout_s=timeout_s), own)([*MESSAGES, b"x" * 10_000_000])
    assert raised.value.retry_helps
    assert f"127.0.0.1:{receiver.port}" in str(raised.value)


def test_a_receiver_that_died_before_it_read_is_not_taken_for_one_that_did(
    receiver: SyslogReceiver, own: TlsSettings
) -> None:
    """Its end of the connection may come before or after the messages; many times, for that is a matter of chance."""
    receiver.fault = Fault.HANGS_UP
    for _ in range(8):
        with pytest.raises(RepositoryError):
            sender(atna(receiver.port), own)(MESSAGES)
    assert receiver.messages == []


def test_nobody_listens(own: TlsSettings) -> None:
    with pytest.raises(RepositoryError, match="Connection refused"):
        sender(atna(free_port()), own)(MESSAGES)


def test_a_receiver_of_another_authority_gets_nothing(
    own: TlsSettings, tmp_path: Path, authority: Authority
) -> None:
    stranger = Authority(tmp_path / "other", "Another CA").issue("repository", trusting=authority.certificate)
    with receiving(stranger) as receiver:
        with pytest.raises(RepositoryError, match="certificate does not hold"):
            sender(atna(receiver.port), own)(MESSAGES)
        assert receiver.messages == []


def test_a_receiver_with_another_name_gets_nothing(receiver: SyslogReceiver, own: TlsSettings) -> None:
    with pytest.raises(RepositoryError, match="certificate does not hold"):
        sender(atna(receiver.port, server_name="audit.hospital.example"), own)(MESSAGES)
    sender(atna(receiver.port, server_name="localhost"), own)(MESSAGES)
    assert receiver.messages == MESSAGES


def test_a_receiver_that_does_not_trust_this_node(
    receiver: SyslogReceiver, authority: Authority, tmp_path: Path
) -> None:
    """TLS 1.3 tells after the handshake of the client's side: what was sent by then counts as not arrived."""
    stranger = Authority(tmp_path / "other", "Another CA").issue("node", trusting=authority.certificate)
    for _ in range(8):  # whether the refusal or the end of the messages comes first is a matter of chance
        with pytest.raises(RepositoryError):
            sender(atna(receiver.port), stranger)(MESSAGES)
        with pytest.raises(RepositoryError):
            greet(atna(receiver.port), stranger)
    assert receiver.messages == []


def test_what_does_not_speak_tls(own: TlsSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        port = plain.getsockname()[1]

        def greet_plainly() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.sendall(b"220 this is no TLS\r\n")
                connection.recv(4096)

        thread = threading.Thread(target=greet_plainly)
        thread.start()
        with pytest.raises(RepositoryError, match="does not speak TLS"):
            sender(atna(port), own)(MESSAGES)
        thread.join()


def test_files_that_cannot_be_used(own: TlsSettings) -> None:
    with pytest.raises(TlsError, match="are all needed"):
        sender(atna(free_port()), TlsSettings())(MESSAGES)
    own.files[1].chmod(0o644)
    with pytest.raises(TlsError, match="others than its owner"):
        sender(atna(free_port()), own)(MESSAGES)


def test_a_greeting_sends_nothing(receiver: SyslogReceiver, own: TlsSettings) -> None:
    assert greet(atna(receiver.port), own) in ("TLSv1.2", "TLSv1.3")
    assert (receiver.connections, receiver.messages) == (1, [])


def test_over_udp_a_datagram_is_a_message() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        sender(atna(listener.getsockname()[1], transport="udp"), TlsSettings())(MESSAGES)
        assert [listener.recv(65536) for _ in MESSAGES] == MESSAGES
