"""Who may come in: AE title, address and certificate go together."""

import pytest
from pydantic import ValidationError

from dicom_node.remote_settings import RemoteSettings
from dicom_node.remotes import Caller, why_refused
from dicom_node.settings import Settings
from dicom_node.tls import SecuredPeer

# addresses of RFC 5737 and RFC 3849
CT1 = RemoteSettings(name="ct1", ae_title="CT1", networks=("192.0.2.0/24", "2001:db8::/32"))
PACS = RemoteSettings(name="pacs", ae_title="PACS")
SECURE = RemoteSettings(
    name="secure", ae_title="SECURE", networks=("198.51.100.7",), tls=True, certificate_names=("ct.example",)
)
REMOTES = (CT1, PACS, SECURE)
GOOD = SecuredPeer("CN=ct", ("ct.example",), "TLSv1.3")
OTHER = SecuredPeer("CN=other", ("other.example",), "TLSv1.3")


@pytest.mark.parametrize(
    ("caller", "why"),
    [
        (Caller("CT1", "192.0.2.7"), None),
        (Caller("CT1", "::ffff:192.0.2.7"), None),  # IPv4 over an IPv6 socket
        (Caller("CT1", "2001:db8::1"), None),
        (Caller("CT1", "192.0.3.7"), "the address is not in the networks of ct1"),
        (Caller("CT1", "2001:db9::1"), "the address is not in the networks of ct1"),
        (Caller("ct1", "192.0.2.7"), "no [[remote]] has this AE title"),  # AE titles have case
        (Caller("CT11", "192.0.2.7"), "no [[remote]] has this AE title"),
        (Caller("", "192.0.2.7"), "no [[remote]] has this AE title"),
        (Caller("PACS", "203.0.113.9"), None),
        (Caller("SECURE", "198.51.100.7", GOOD), None),
        (Caller("SECURE", "198.51.100.7", OTHER), "the certificate bears none of the names of secure"),
        (Caller("SECURE", "198.51.100.7"), "secure may come over TLS only"),
        (Caller("SECURE", "198.51.100.8", GOOD), "the address is not in the networks of secure"),
    ],
)
def test_title_address_and_certificate_must_fit(caller: Caller, why: str | None) -> None:
    assert why_refused(caller, (), REMOTES) == why


def test_without_any_list_everybody_may() -> None:
    assert why_refused(Caller("ANYONE", "203.0.113.9"), (), ()) is None


def test_a_title_of_the_simple_list_may_come_from_anywhere() -> None:
    assert why_refused(Caller("MR1", "203.0.113.9"), ("MR1",), REMOTES) is None
    assert why_refused(Caller("MR2", "203.0.113.9"), ("MR1",), ()) == "no [[remote]] has this AE title"


def test_two_machines_may_share_an_ae_title() -> None:
    both = (CT1, RemoteSettings(name="ct2", ae_title="CT1", networks=("203.0.113.0/24",)))
    assert why_refused(Caller("CT1", "203.0.113.5"), (), both) is None
    why = why_refused(Caller("CT1", "198.51.100.1"), (), both)
    assert why == "the address is not in the networks of ct1; the address is not in the networks of ct2"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"remote": [{"name": "a", "ae_title": "CT1", "networks": ["192.0.2.7/24"]}]}, "has host bits set"),
        ({"remote": [{"name": "a", "ae_title": "CT1", "networks": ["scanner"]}]}, "an address or a range such as"),
        ({"remote": [{"name": "a", "ae_title": "CT1", "certificate_names": ["x"]}]}, "needs tls = true"),
        ({"remote": [{"name": "a", "ae_title": "CT1", "tls": True}]}, "needs receiver.tls_port"),
        ({"remote": [{"name": "a", "ae_title": "CT1"}, {"name": "a", "ae_title": "CT2"}]}, "a name of its own"),
        (
            {"remote": [{"name": "a", "ae_title": "CT1"}], "receiver": {"calling_ae_titles": ["CT1"]}},
            "CT1 stands in receiver.calling_ae_titles, from any address",
        ),
        ({"receiver": {"tls_port": 2762}}, "receiver.tls_port needs tls.certificate"),
        ({"receiver": {"tls_port": 11112}}, "port and tls_port must differ"),
        ({"receiver": {"accept_plain": False}}, "nothing would be listened on"),
        (
            {"destination": [{"name": "pacs", "ae_title": "P", "host": "h", "port": 104, "tls": True}]},
            "tls for pacs needs tls.certificate",
        ),
    ],
)
def test_settings_that_contradict_one_another_are_refused(tables: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings.model_validate(tables)
