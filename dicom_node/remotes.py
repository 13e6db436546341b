"""Whether a caller is one of the remotes that may send: AE title, address and certificate go together."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from dicom_node.remote_settings import RemoteSettings
from dicom_node.tls import SecuredPeer


@dataclass(frozen=True)
class Caller:
    """Who asks for an association: `certificate` is None on a connection without TLS."""

    ae_title: str
    address: str
    certificate: SecuredPeer | None = None


def why_refused(
    caller: Caller, calling_ae_titles: Sequence[str], remotes: Sequence[RemoteSettings]
) -> str | None:
    """What keeps the caller out, for the audit log; None where it may come in.

    Without any AE title and remote everybody may. An AE title of the receiver's list may come from anywhere;
    a remote from its networks, and with tls from a peer whose certificate bears one of its names.
    """
    if caller.ae_title in calling_ae_titles or not (calling_ae_titles or remotes):
        return None
    reasons = [_why_not(caller, one) for one in remotes if one.ae_title == caller.ae_title]
    if None in reasons:
        return None
    return "; ".join(filter(None, reasons)) or "no [[remote]] has this AE title"


def plain_address(address: str) -> IPv4Address | IPv6Address:
    """An IPv4 address that came in over an IPv6 socket is an IPv4 address."""
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return mapped or parsed


def _why_not(caller: Caller, remote: RemoteSettings) -> str | None:
    address = plain_address(caller.address)
    if remote.networks and not any(address in ip_network(one) for one in remote.networks):
        return f"the address is not in the networks of {remote.name}"
    if remote.tls and caller.certificate is None:
        return f"{remote.name} may come over TLS only"
    if remote.certificate_names and caller.certificate and not caller.certificate.bears(remote.certificate_names):
        return f"the certificate bears none of the names of {remote.name}"
    return None
