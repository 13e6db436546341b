"""DICOM over TLS as SCU: the archive proves who it is, and what fails is told apart."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.association import AssociationFailed, associate
from dicom_node.delivery import echo
from dicom_node.network_library import VERIFICATION
from dicom_node.send import RemoteNode, send_folder
from dicom_node.settings import Settings, load_settings
from dicom_node.tls import ANY_NAME, TlsClient, server_context
from dicom_node.tls_files import TlsError
from dicom_node.tls_settings import TlsSettings
from tests.dicom_node.commands.called_node import run
from tests.support.certificates import YESTERDAY, Authority, as_table
from tests.support.dicom_network import Archive, eventually, make_ct, program, running_archive, write_ct
from tests.support.ports import free_port

ECHO = [(VERIFICATION, ImplicitVRLittleEndian)]


@contextmanager
def archive(files: TlsSettings) -> Iterator[Archive]:
    context = server_context(files)
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    with running_archive([VERIFICATION, CTImageStorage], syntaxes, ssl_context=context) as running:
        yield running


def peer(port: int, files: TlsSettings, name: str = "localhost", host: str = "127.0.0.1") -> RemoteNode:
    return RemoteNode("ARCHIVE", host, port, dimse_timeout_s=5.0, security=TlsClient(files, name))


def failure(to: RemoteNode) -> AssociationFailed:
    with pytest.raises(AssociationFailed) as caught, associate(to, "GLIANET", ECHO):
        pytest.fail("the association was accepted")
    return caught.value


def test_files_go_over_tls(tmp_path: Path, authority: Authority) -> None:
    write_ct(tmp_path / "series", make_ct(1, size=300))
    security = TlsClient(authority.issue("node"), "localhost")
    with archive(authority.issue("pacs")) as pacs:
        report = send_folder(tmp_path / "series", "127.0.0.1", pacs.port, "ARCHIVE", "CT1", security=security)
    assert report.complete
    assert len(pacs.received) == 1


def test_the_host_is_the_name_that_is_asked_for(authority: Authority) -> None:
    tables = {"name": "pacs", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 104, "tls": True}
    files = as_table(authority.issue("node"))
    both = [tables, {**tables, "name": "other", "tls_name": "x"}]
    settings = Settings.model_validate({"destination": both, "tls": files})
    assert [one.security and one.security.name for one in settings.destinations] == ["127.0.0.1", "x"]
    with archive(authority.issue("pacs")) as pacs:
        assert echo(settings.destinations[0].model_copy(update={"port": pacs.port}), "GLIANET").ok


def test_an_archive_with_another_name_is_refused(authority: Authority) -> None:
    with archive(authority.issue("pacs", host="pacs.example")) as pacs:
        error = failure(peer(pacs.port, authority.issue("node"), "archive.example"))
        assert "Hostname mismatch" in error.what
        assert "destination.tls_name" in error.advice
        assert error.retry_helps
        assert not echo(peer(pacs.port, authority.issue("node"), "archive.example"), "GLIANET").ok
        assert echo(peer(pacs.port, authority.issue("node"), ANY_NAME), "GLIANET").ok


def test_an_archive_of_another_authority_is_refused(tmp_path: Path, authority: Authority) -> None:
    own = authority.issue("node")
    with archive(Authority(tmp_path / "elsewhere").issue("pacs", trusting=authority.certificate)) as pacs:
        for name in ("localhost", ANY_NAME):
            assert "no TLS connection: the peer's certificate does not hold" in failure(peer(pacs.port, own, name)).what


def test_an_expired_archive_is_refused(authority: Authority) -> None:
    with archive(authority.issue("pacs", until=datetime.now(UTC) - YESTERDAY)) as pacs:
        assert "certificate has expired" in failure(peer(pacs.port, authority.issue("node"))).what


def test_an_archive_that_knows_tls_1_1_alone_is_refused(authority: Authority) -> None:
    context = server_context(authority.issue("pacs"))
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with running_archive([VERIFICATION], ssl_context=context) as pacs:
        assert "no TLS connection" in failure(peer(pacs.port, authority.issue("node"))).what


def test_an_archive_that_speaks_no_tls_is_told_apart(authority: Authority) -> None:
    with running_archive([VERIFICATION]) as pacs:
        error = failure(peer(pacs.port, authority.issue("node")))
    assert "no TLS connection" in error.what
    assert pacs.associations == []


def test_an_archive_that_does_not_trust_the_node_is_told_apart(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority(tmp_path / "elsewhere").issue("node", trusting=authority.certificate)
    with archive(authority.issue("pacs")) as pacs:
        error = failure(peer(pacs.port, stranger))
    assert error.what == "the peer ended the TLS connection without an answer"
    assert "tls.certificate" in error.advice


def test_a_key_that_others_can_read_is_not_used(authority: Authority) -> None:
    files = authority.issue("node")
    Path(files.private_key).chmod(0o640)
    with pytest.raises(TlsError, match="chmod 600"), associate(peer(free_port(), files), "GLIANET", ECHO):
        pytest.fail("accepted")
    result = echo(peer(free_port(), files), "GLIANET")
    assert "others than its owner" in result.detail


def test_the_send_command_speaks_tls(tmp_path: Path, authority: Authority) -> None:
    write_ct(tmp_path / "series", make_ct(1))
    files = authority.issue("node")
    config = tmp_path / "config.toml"
    config.write_text('[tls]\ncertificate = "pki/node.pem"\nprivate_key = "pki/node.key"\ntrusted = "pki/ca.pem"\n')
    assert load_settings(config).tls.files == files.files  # relative to the file
    with archive(authority.issue("pacs")) as pacs:
        arguments = ["send", str(tmp_path / "series"), "--port", str(pacs.port), "--called", "ARCHIVE"]
        sent = run(*arguments, "--tls", "--config", str(config))
        assert sent.exit_code == 0, sent.output
        assert run(*arguments, "--tls", "--tls-name", "other.example", "--config", str(config)).exit_code == 1
        assert run(*arguments).exit_code == 1
    assert len(pacs.received) == 1


def test_storescp_of_dcmtk_is_delivered_to_over_tls(tmp_path: Path, authority: Authority) -> None:
    certificate, key, trusted = map(str, authority.issue("pacs").files)
    port, received = free_port(), tmp_path / "received"
    received.mkdir()
    write_ct(tmp_path / "series", make_ct(1, size=64))
    tls = ["+tls", key, certificate, "+cf", trusted, "--require-peer-cert"]
    command = [program("storescp"), "-aet", "ARCHIVE", "-od", str(received), *tls, str(port)]
    security = TlsClient(authority.issue("node"), "localhost")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as storescp:
        try:
            to = RemoteNode("ARCHIVE", "127.0.0.1", port, security=security)
            assert eventually(lambda: echo(to, "GLIANET").ok)
            assert send_folder(tmp_path / "series", "127.0.0.1", port, "ARCHIVE", "GLIANET", security=security).complete
            assert not echo(RemoteNode("ARCHIVE", "127.0.0.1", port), "GLIANET").ok  # without TLS
        finally:
            storescp.terminate()
    assert len(list(received.iterdir())) == 1
