"""The openssl commands of the administrator's guide, typed as they stand there, give files that the node takes."""

import re
import shlex
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from dicom_node.tls import TlsClient, client_context, server_context
from dicom_node.tls_files import Validity, certificate_states
from dicom_node.tls_settings import TlsSettings
from tests.support.dicom_network import program

GUIDE = Path(__file__).parents[2] / "docs" / "admin-guide.md"


def commands() -> list[list[str]]:
    """Those that make something: keys, requests, certificates."""
    text = GUIDE.read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^    (openssl (?:req|x509 -req) .*)$", text, re.MULTILINE)]


def test_the_guides_commands_make_what_the_node_needs(tmp_path: Path) -> None:
    openssl = program("openssl", "openssl")
    made = commands()
    assert len(made) == 3
    for _, *arguments in made:
        subprocess.run([openssl, *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=30)
    names = {"certificate": "node.pem", "private_key": "node.key", "trusted": "ca.pem"}
    files = TlsSettings.model_validate({key: str(tmp_path / name) for key, name in names.items()})
    server_context(files)
    client_context(TlsClient(files, "pacs"))
    own, trusted = certificate_states(files, datetime.now(UTC))
    assert (own.validity, trusted.validity) == (Validity.VALID, Validity.VALID)
    assert own.names == ("glia-node", "glia.example.org", "192.0.2.10")
    assert own.days_left == 364
