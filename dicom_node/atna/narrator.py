"""What a row of the audit log is about, as the objects of a message: study, patient, log."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dicom_node.atna import codes
from dicom_node.atna.message import UNKNOWN, ParticipantObject
from dicom_node.atna.reporter import Reporter
from dicom_node.folders import Folders
from dicom_node.patients import DECISIONS, patient_of
from storage.audit import AuditEntry, entries
from storage.audit_subjects import SeriesSubject, describe_series
from storage.database import Database
from storage.errors import UnreadableRow


@dataclass(frozen=True)
class Narrator:
    """What is needed to tell of rows; `key` hashes Patient IDs."""

    reporter: Reporter
    db: Database
    folders: Folders
    key: bytes

    def subject(self, entry: AuditEntry) -> SeriesSubject | None:
        """The series that a row is about, at the revision that it is about."""
        if entry.series_instance_uid is None:
            return None
        return describe_series(self.db, entry.series_instance_uid, revision_of(entry))

    def study_and_patient(
        self, subject: SeriesSubject | None, instances: Mapping[str, int]
    ) -> tuple[ParticipantObject, ...]:
        """Both are mandatory where objects are transferred or used (PS3.15 tables A.5.3.3-1, A.5.3.6-1, A.5.3.7-1).

        Neither has a name that is anybody's: the schema wants an element, and this node's messages hold no names.
        """
        study = ParticipantObject(
            id=subject.study_instance_uid if subject else UNKNOWN,
            id_type=codes.STUDY_INSTANCE_UID,
            type_code=codes.SYSTEM_OBJECT,
            role=codes.REPORT,
            name="DICOM study",
            instances=instances,
            details={"SeriesInstanceUID": subject.series_instance_uid} if subject else {},
        )
        patient = ParticipantObject(
            id=self._patient(subject) if subject else UNKNOWN,
            id_type=codes.PATIENT_NUMBER,
            type_code=codes.PERSON,
            role=codes.PATIENT,
            name="not recorded",
        )
        return study, patient

    def _patient(self, subject: SeriesSubject) -> str:
        """From an image; from a result, or from what the log says, where the images were deleted."""
        images = [self.folders.spool / path for path in subject.image_paths]
        results = [self.folders.results / path for path in subject.result_paths]
        seen = patient_of([*images, *results], self.key)
        return seen if seen != UNKNOWN else self._patient_in_log(subject.series_instance_uid)

    def _patient_in_log(self, series_instance_uid: str) -> str:
        try:
            for event in DECISIONS:
                for entry in entries(self.db, series_instance_uid, event, limit=1):
                    return str(entry.detail.get("patient_hash", UNKNOWN))
        except UnreadableRow:
            pass
        return UNKNOWN

    def log(self, alert: str | None = None) -> ParticipantObject:
        """The audit log itself (PS3.15 table A.5.3.2-1), perhaps as the subject of an alert (table A.5.3.11-1)."""
        return ParticipantObject(
            id=Path(self.db.path).absolute().as_uri(),
            id_type=codes.URI,
            type_code=codes.SYSTEM_OBJECT,
            role=codes.SECURITY_RESOURCE,
            name="Security Audit Log",
            details={"Alert Description": alert} if alert else {},
        )


def revision_of(entry: AuditEntry) -> int:
    """The row that re-opens a series is of the revision before, and about the next."""
    return int(entry.detail.get("next_revision", entry.detail.get("revision", 1)))
