"""Where reports go, as it is written in config.toml."""

import pytest
from pydantic import ValidationError

from dicom_node.commitment_settings import CommitmentSettings
from dicom_node.settings import Settings
from dicom_node.tls_settings import TlsSettings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CT1@192.0.2.7:104", ("CT1", "192.0.2.7", 104, False)),
        ("CT 1@ct1.example:11112", ("CT 1", "ct1.example", 11112, False)),
        ("A@B@[2001:db8::7]:104", ("A@B", "2001:db8::7", 104, False)),
        ("CT1@ct1.example:2762 tls", ("CT1", "ct1.example", 2762, True)),
    ],
)
def test_requesters(text: str, expected: tuple[str, str, int, bool]) -> None:
    settings = CommitmentSettings(requesters=("OTHER@192.0.2.1:104", text))
    found = settings.find_requester(expected[0], 3.0, 4.0, TlsSettings())
    assert found is not None
    assert (found.ae_title, found.host, found.port, found.security is not None) == expected
    assert (found.connect_timeout_s, found.dimse_timeout_s) == (3.0, 4.0)
    assert settings.find_requester("CT9", 3.0, 4.0, TlsSettings()) is None


@pytest.mark.parametrize(
    "text",
    ["CT1", "CT1@192.0.2.7", "CT1@192.0.2.7:0", "CT1@192.0.2.7:70000", "@192.0.2.7:104", "SEVENTEENLETTERS1@h:1"],
)
def test_what_is_no_requester_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match=r'such as "CT1@192\.0\.2\.7:104"'):
        CommitmentSettings(requesters=(text,))


def test_a_report_over_tls_needs_the_files_for_it() -> None:
    with pytest.raises(ValidationError, match="needs tls.certificate"):
        Settings.model_validate({"commitment": {"requesters": ["CT1@192.0.2.7:2762 tls"]}})
