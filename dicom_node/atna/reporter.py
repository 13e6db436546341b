"""What every message of this node has in common, and what the settings know of its peers."""

from collections.abc import Mapping
from dataclasses import dataclass

from dicom_node.atna.codes import APPLICATION, DESTINATION_ROLE, SOURCE_ROLE
from dicom_node.atna.message import AuditMessage, Code, Participant, ParticipantObject
from dicom_node.destination_settings import DestinationSettings
from dicom_node.settings import Settings
from storage.audit import AuditEntry
from storage.schema import time_text


@dataclass(frozen=True)
class Reporter:
    """This node as the source of messages; `host` is the one name of this computer that they all bear."""

    ae_title: str
    host: str
    source_id: str
    site_id: str
    destinations: Mapping[str, DestinationSettings]

    @classmethod
    def of(cls, settings: Settings, host: str) -> "Reporter":
        """The node of these settings, on this computer."""
        return cls(
            ae_title=settings.node.ae_title,
            host=host,
            source_id=settings.atna.source_id or settings.node.ae_title,
            site_id=settings.atna.site_id,
            destinations={one.name: one for one in settings.destinations},
        )

    def message(
        self,
        entry: AuditEntry,
        event_id: Code,
        action: str,
        participants: tuple[Participant, ...],
        *,
        outcome: int = 0,
        why: str = "",
        event_type: Code | None = None,
        objects: tuple[ParticipantObject, ...] = (),
    ) -> AuditMessage:
        """A message about a row; its description names the row, so that the repository's copy proves what it said."""
        row = f"{entry.event}; audit row {entry.number}, SHA-256 {entry.hash}"
        return AuditMessage(
            event_id=event_id,
            action=action,
            at=time_text(entry.at),
            outcome=outcome,
            description=f"{row}; {why}" if why else row,
            source_id=self.source_id,
            site_id=self.site_id,
            participants=participants,
            event_type=event_type,
            objects=objects,
        )

    def node(self, actor: str, *, role: Code | None = APPLICATION, is_requestor: bool = False) -> Participant:
        """This node; `actor` is who did it, as the audit log says."""
        return Participant(actor, is_requestor, role, self.ae_title, "dicom-node", self.host)

    def sender(self, ae_title: str, address: str | None) -> Participant:
        """Who sent images to this node."""
        return Participant(ae_title, True, SOURCE_ROLE, ae_title, None, address)

    def destination(self, name: str) -> Participant:
        """A PACS; of one that the settings do not know any more, its name."""
        known = self.destinations.get(name)
        if known is None:
            return Participant(name, False, DESTINATION_ROLE)
        return Participant(name, False, DESTINATION_ROLE, known.ae_title, None, known.host)
