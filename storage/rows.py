"""Rows of the tables as the rest of the node sees them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from storage.states import DeliveryState, Outcome, SeriesState


@dataclass(frozen=True)
class SeriesRow:
    """A series as it stood when it was read.

    `reason_code` says why it was refused or has failed; a retry brings back that of the refusal, if any.
    `source_purged_at`: when images were deleted that have not come again; `results_purged_at`: when results and
    findings were. `source_deletion`, `results_deletion`: the revision up to which files are still being deleted.
    """

    id: int
    series_instance_uid: str
    study_instance_uid: str
    state: SeriesState
    revision: int
    instance_count: int
    announced_instances: int | None
    conflicting: bool
    urgent: bool
    sender_ae_title: str
    sender_address: str | None
    first_received_at: datetime
    last_received_at: datetime
    attempts: int
    crashes: int
    not_before: datetime | None
    lease_owner: str | None
    lease_expires_at: datetime | None
    failed_from: SeriesState | None
    outcome: Outcome | None
    reason_code: str | None
    reason_detail: str | None
    refusal_code: str | None
    refusal_detail: str | None
    findings_path: str | None
    weights_sha256: str | None
    lesion_count: int | None
    concluded_at: datetime | None
    last_error: str | None
    ended_at: datetime | None
    source_purged_at: datetime | None
    results_purged_at: datetime | None
    source_deletion: int | None
    results_deletion: int | None


@dataclass(frozen=True)
class InstanceRow:
    """A received instance; `path` is below the spool; `conflict`: other bytes came first under its UID.

    `purged_at`: when its file was deleted; None where the file is there.
    """

    id: int
    series_id: int
    study_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    path: str
    sha256: str
    size: int
    conflict: bool
    revision: int
    calling_ae_title: str
    address: str | None
    received_at: datetime
    purged_at: datetime | None


def series_row(row: Row[Any]) -> SeriesRow:
    """The dataclass of one row of the table."""
    return SeriesRow(**row._asdict())


@dataclass(frozen=True)
class ResultObject:
    """An encoded DICOM object of the results; `path` is relative to the folder of results.

    `purged_at`: when its file was deleted; None where the file is there.
    """

    role: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    path: str
    sha256: str
    size: int
    purged_at: datetime | None = None


@dataclass(frozen=True)
class DeliveryRow:
    """The results of one revision of a series on their way to one destination; the UIDs are the source's.

    `objects` are those of the revision's results whose role is in `roles`; all of them where that is None.
    `committed` are the SOP Instance UIDs that the destination has said to keep, `asked` how often it was asked
    since it took the objects, `transaction_uid` and `requested_at` the newest time that it was.
    """

    id: int
    series_id: int
    series_instance_uid: str
    study_instance_uid: str
    revision: int
    destination: str
    state: DeliveryState
    attempts: int
    not_before: datetime | None
    lease_owner: str | None
    lease_expires_at: datetime | None
    roles: list[str] | None
    statuses: list[dict[str, Any]] | None
    last_error: str | None
    created_at: datetime
    first_tried_at: datetime | None
    ended_at: datetime | None
    asked: int
    committed: list[str] | None
    transaction_uid: str | None
    requested_at: datetime | None
    objects: tuple[ResultObject, ...]

    @property
    def taken(self) -> bool:
        """Whether the destination has taken every object, whatever became of the delivery afterwards."""
        return self.state == DeliveryState.DELIVERED or self.statuses is not None

    @property
    def outstanding(self) -> tuple[ResultObject, ...]:
        """The objects that are to be sent or asked for: all but those that are committed."""
        kept = frozenset(self.committed or ())
        return tuple(one for one in self.objects if one.sop_instance_uid not in kept)
