"""Whether the reports of destinations that commit themselves can reach this node (PS3.4 annex J)."""

from collections.abc import Iterator

from dicom_node.commands.check_access import LOOPBACK
from dicom_node.commands.checks import Check
from dicom_node.destination_settings import DestinationSettings
from dicom_node.settings import Settings


def check_commitment(settings: Settings) -> Iterator[Check]:
    """A report may come over an association that the destination makes, as whoever it is there."""
    for destination in settings.destinations:
        if destination.storage_commitment:
            problem = _why_not(destination, settings)
            seen = problem or f"{destination.ae_title} may report to port {_port(settings)} of this node"
            yield Check(f"commitment of {destination.name}", "warning" if problem else "ok", seen)


def _port(settings: Settings) -> int:
    return settings.receiver.port if settings.receiver.accept_plain else settings.receiver.tls_port


def _why_not(destination: DestinationSettings, settings: Settings) -> str | None:
    titles = {*settings.receiver.calling_ae_titles, *(one.ae_title for one in settings.remote)}
    if titles and destination.ae_title not in titles:
        return (
            f"{destination.ae_title} may not come in: a report over an association of its own would be rejected."
            " Name it in receiver.calling_ae_titles or in a [[remote]]"
        )
    if settings.receiver.host in LOOPBACK and destination.host not in LOOPBACK:
        return (
            f"receiver.host is {settings.receiver.host}: a report over an association of its own cannot reach this"
            ' node. "0.0.0.0" listens on all addresses'
        )
    return None
