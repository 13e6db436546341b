"""What of a node and its machine can be seen from outside, without its series one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dicom_node.commands.certificates import SeenCertificate, see_certificates
from dicom_node.commands.own_ports import why_unanswered
from dicom_node.commands.running_node import find_running_node
from dicom_node.disk_space import DiskSpace, disk_space
from dicom_node.reasons import REASONS
from dicom_node.settings import Settings
from storage.database import Database
from storage.overview import Overview, overview
from storage.recent_deaths import recent_deaths

RECENT = timedelta(hours=1)
DEFECTS = tuple(code for code, reason in REASONS.items() if reason.kind == "defect")


@dataclass(frozen=True)
class NodeState:
    """`process` is the running node's, None where none runs.

    unanswered: port, such as "port 11112", -> why the node does not seem to answer there though it runs. deaths: times
    that each process died within `RECENT`. orphaned: destination that the settings do not have -> deliveries that wait.
    """

    process: int | None
    unanswered: Mapping[str, str]
    deaths: Mapping[str, int]
    disk: DiskSpace
    overview: Overview
    orphaned: Mapping[str, int]
    certificates: tuple[SeenCertificate, ...]


def see_node(db: Database, settings: Settings, now: datetime) -> NodeState:
    """Looks, asks the node whether it answers, and changes nothing."""
    process = find_running_node(settings.storage.folder)
    counted = overview(db, DEFECTS)
    return NodeState(
        process=process,
        unanswered={} if process is None else _unanswered(settings),
        deaths=recent_deaths(db, now - RECENT),
        disk=disk_space(settings),
        overview=counted,
        orphaned=_orphaned(counted, settings),
        certificates=see_certificates(settings, now),
    )


def _orphaned(counted: Overview, settings: Settings) -> dict[str, int]:
    known = {one.name for one in settings.destinations}
    waiting = {one.destination: one.pending + one.stored for one in counted.destinations}
    return {name: number for name, number in waiting.items() if number and name not in known}


def _unanswered(settings: Settings) -> dict[str, str]:
    receiver = settings.receiver
    asked = {f"port {receiver.port}": False} if receiver.accept_plain else {}
    asked |= {f"TLS port {receiver.tls_port}": True} if receiver.tls_port else {}
    answers = {port: why_unanswered(settings, secured=secured) for port, secured in asked.items()}
    return {port: why for port, why in answers.items() if why is not None}
