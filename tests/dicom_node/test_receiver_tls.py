"""DICOM over TLS as SCP: who gets in, who does not and why."""

import ssl
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicom_node.association import AssociationFailed, associate
from dicom_node.delivery import echo
from dicom_node.errors import NodeError
from dicom_node.receiver.handshakes import CurrentCertificates
from dicom_node.receiver.server import open_receiver
from dicom_node.tls import ANY_NAME
from dicom_node.tls_settings import TlsSettings
from tests.support.certificates import YESTERDAY, Authority, as_table, loose_context
from tests.support.dicom_network import (
    DEADLINE_S,
    Node,
    data_set_of,
    make_ct,
    make_settings,
    program,
    running_node,
    write_ct,
)
from tests.support.ports import free_port
from tests.support.tls_node import connect, over_tls, refusals, rows, tls_node

CT = [(CTImageStorage, ExplicitVRLittleEndian)]


def test_an_instance_comes_in_over_tls_and_the_row_names_the_certificate(tmp_path: Path, authority: Authority) -> None:
    file = write_ct(tmp_path, make_ct(1, size=256))  # 128 KiB: several TLS records
    with tls_node(tmp_path, authority) as node:
        with associate(over_tls(node, authority.issue("ct1")), "CT1", CT) as association:
            assert association.send_c_store(file).Status == 0
        (row,) = rows(node, "association-accepted")
        (stored,) = node.spool.rglob("*.dcm")
        assert data_set_of(stored) == data_set_of(file)
    assert row.detail["certificate_subject"].startswith("CN=ct1,")
    assert row.detail["tls"] == "TLSv1.3"
    assert (row.actor, row.detail["stored"]) == ("CT1", 1)


def test_tls_1_2_with_rsa_is_spoken_too(tmp_path: Path, authority: Authority) -> None:
    with tls_node(tmp_path, authority) as node:
        context = loose_context(authority.issue("old"), ssl.TLSVersion.TLSv1_2)
        with context.wrap_socket(connect(node)) as peer:
            assert peer.version() == "TLSv1.2"


def refused_handshake(node: Node, context: ssl.SSLContext) -> None:
    """In TLS 1.3 a client learns of its refusal when it reads."""
    with closing(connect(node)) as raw, pytest.raises(OSError):  # noqa: PT011 - the reason is the server's
        context.wrap_socket(raw).recv(1)


def test_a_certificate_of_another_authority_is_refused(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority(tmp_path / "elsewhere").issue("ct1")
    with tls_node(tmp_path, authority) as node:
        refused_handshake(node, loose_context(stranger))
        (reason,) = refusals(node)
        assert echo(over_tls(node, authority.issue("ct1")), "CT1").ok
    assert reason == "the peer's certificate does not hold: unable to get local issuer certificate"


def test_a_peer_without_a_certificate_is_refused(tmp_path: Path, authority: Authority) -> None:
    with tls_node(tmp_path, authority) as node:
        refused_handshake(node, loose_context(None))
        assert refusals(node) == ["the peer sent no certificate"]


def test_an_expired_certificate_is_refused(tmp_path: Path, authority: Authority) -> None:
    expired = authority.issue("ct1", until=datetime.now(UTC) - YESTERDAY)
    with tls_node(tmp_path, authority) as node:
        refused_handshake(node, loose_context(expired))
        assert refusals(node) == ["the peer's certificate does not hold: certificate has expired"]


def test_tls_1_1_is_refused(tmp_path: Path, authority: Authority) -> None:
    with tls_node(tmp_path, authority) as node:
        refused_handshake(node, loose_context(authority.issue("ct1"), ssl.TLSVersion.TLSv1_1))
        assert refusals(node) == ["the peer knows no TLS version that is allowed"]


def test_without_accept_plain_only_the_tls_port_is_there(tmp_path: Path, authority: Authority) -> None:
    with tls_node(tmp_path, authority, receiver={"accept_plain": False}) as node:
        assert node.receiver.port == 0
        assert echo(over_tls(node, authority.issue("ct1")), "CT1").ok


def test_a_remote_with_tls_may_not_come_without(tmp_path: Path, authority: Authority) -> None:
    ct1 = {"name": "ct1", "ae_title": "CT1", "tls": True, "certificate_names": ["ct1.example"]}
    right, wrong = authority.issue("ct1", host="ct1.example"), authority.issue("ct2", host="ct2.example")
    with tls_node(tmp_path, authority, remote=[ct1]) as node:
        assert echo(over_tls(node, right), "CT1").ok
        for peer in (node.peer(), over_tls(node, wrong)):
            with pytest.raises(AssociationFailed, match="Calling AE title not recognised"), associate(peer, "CT1", CT):
                pytest.fail("accepted")
        plain, other = rows(node, "association-rejected")
    assert plain.detail["why"] == "ct1 may come over TLS only"
    assert other.detail["why"] == "the certificate bears none of the names of ct1"
    assert other.detail["certificate_subject"].startswith("CN=ct2,")


def test_renewed_files_count_without_a_restart(tmp_path: Path, authority: Authority) -> None:
    """The authority changes with them: only who trusts the new one gets in."""
    files = authority.issue("ct1")
    with tls_node(tmp_path, authority) as node:
        assert echo(over_tls(node, files), "CT1").ok
        renewed = Authority(tmp_path / "renewed")
        for old, new in zip(node.settings.tls.files, renewed.issue("node").files, strict=True):
            Path(old).write_bytes(new.read_bytes())
        assert echo(over_tls(node, renewed.issue("ct1")), "CT1").ok
        assert not echo(over_tls(node, files), "CT1").ok


def test_files_that_are_half_renewed_leave_the_old_ones_in_use(tmp_path: Path, authority: Authority) -> None:
    files, other = authority.issue("node"), Authority(tmp_path / "other").issue("node")
    current = CurrentCertificates(files)
    before = current.context()
    whole = Path(files.private_key).read_bytes()
    Path(files.private_key).write_bytes(Path(other.private_key).read_bytes())
    assert current.context() is before
    Path(files.private_key).write_bytes(whole)
    Path(files.private_key).unlink()
    assert current.context() is before


def test_a_key_that_others_can_read_keeps_the_receiver_from_starting(tmp_path: Path, authority: Authority) -> None:
    files = authority.issue("node")
    Path(files.private_key).chmod(0o644)
    settings = make_settings(tmp_path, receiver={"tls_port": free_port()}, tls=as_table(files))
    with pytest.raises(NodeError, match="others than its owner may use it"), open_receiver(settings):
        pytest.fail("it started")


def dcmtk(name: str, node: Node, files: TlsSettings, *arguments: str) -> "subprocess.CompletedProcess[str]":
    certificate, key, trusted = map(str, files.files)
    tls = ["+tls", key, certificate, "+cf", trusted]
    command = [program(name), "-aet", "CT1", "-aec", "GLIANET", *tls, "127.0.0.1", str(node.receiver.tls_port)]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def test_dcmtk_verifies_and_stores_over_tls(tmp_path: Path, authority: Authority) -> None:
    file = write_ct(tmp_path, make_ct(1, size=64))
    with tls_node(tmp_path, authority) as node:
        files = authority.issue("ct1")
        for done in (dcmtk("echoscu", node, files), dcmtk("storescu", node, files, str(file))):
            assert done.returncode == 0, done.stderr
        row = rows(node, "association-accepted")[-1]
        assert (row.actor, row.detail["stored"]) == ("CT1", 1)
        stranger = Authority(tmp_path / "elsewhere").issue("ct1", trusting=authority.certificate)
        assert dcmtk("echoscu", node, stranger).returncode != 0
        assert len(rows(node, "tls-refused")) == 1


def test_any_name_still_asks_for_a_trusted_certificate(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority(tmp_path / "elsewhere").issue("ct1")
    with tls_node(tmp_path, authority) as node:
        result = echo(over_tls(node, stranger, ANY_NAME), "CT1")
    assert not result.ok
    assert "no TLS connection: the peer's certificate does not hold" in result.detail


def test_the_certificate_of_one_peer_may_be_trusted_without_its_authority(tmp_path: Path, authority: Authority) -> None:
    others = Authority(tmp_path / "elsewhere")
    pinned, other = others.issue("ct1"), others.issue("ct2")
    own = as_table(authority.issue("node", trusting=Path(pinned.certificate)))
    with running_node(tmp_path, receiver={"tls_port": free_port()}, tls=own) as node:
        trusting = {"trusted": authority.certificate}
        assert echo(over_tls(node, pinned.model_copy(update=trusting)), "CT1").ok
        assert not echo(over_tls(node, other.model_copy(update=trusting)), "CT2").ok
