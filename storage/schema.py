"""The tables, for building statements. What the database itself enforces stands in migrations/versions."""

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Dialect,
    Enum,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

from storage.states import CommitmentOutcome, DeliveryState, Outcome, RequestState, SeriesState

SCHEMA_REVISION = "0005"  # the newest file in migrations/versions

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"  # of fixed width, so that text order is time order


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time, timezone-aware UTC in Python, ISO 8601 text with microseconds in the database."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else time_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


def time_text(time: datetime) -> str:
    """The text that stands for `time` in the database. Raises ValueError where the time zone is missing."""
    if time.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone")
    return time.astimezone(UTC).strftime(TIME_FORMAT)


def _state(kind: type[StrEnum]) -> Enum:
    return Enum(kind, native_enum=False, create_constraint=False, values_callable=list)


metadata = MetaData()

series = Table(
    "series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("series_instance_uid", String),
    Column("study_instance_uid", String),
    Column("state", _state(SeriesState)),
    Column("revision", Integer),
    Column("instance_count", Integer),
    Column("announced_instances", Integer),
    Column("conflicting", Boolean),
    Column("urgent", Boolean),
    Column("sender_ae_title", String),
    Column("sender_address", String),
    Column("first_received_at", UtcDateTime),
    Column("last_received_at", UtcDateTime),
    Column("attempts", Integer),
    Column("crashes", Integer),
    Column("not_before", UtcDateTime),
    Column("lease_owner", String),
    Column("lease_expires_at", UtcDateTime),
    Column("failed_from", _state(SeriesState)),
    Column("outcome", _state(Outcome)),
    Column("reason_code", String),
    Column("reason_detail", Text),
    Column("refusal_code", String),
    Column("refusal_detail", Text),
    Column("findings_path", String),
    Column("weights_sha256", String),
    Column("lesion_count", Integer),
    Column("concluded_at", UtcDateTime),
    Column("last_error", Text),
    Column("ended_at", UtcDateTime),
    Column("source_purged_at", UtcDateTime),
    Column("results_purged_at", UtcDateTime),
    Column("source_deletion", Integer),
    Column("results_deletion", Integer),
)

instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("series_id", Integer),
    Column("study_instance_uid", String),
    Column("sop_instance_uid", String),
    Column("sop_class_uid", String),
    Column("transfer_syntax_uid", String),
    Column("path", String),
    Column("sha256", String),
    Column("size", Integer),
    Column("conflict", Boolean),
    Column("revision", Integer),
    Column("calling_ae_title", String),
    Column("address", String),
    Column("received_at", UtcDateTime),
    Column("purged_at", UtcDateTime),
)

results = Table(
    "results",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("series_id", Integer),
    Column("revision", Integer),
    Column("role", String),
    Column("sop_class_uid", String),
    Column("sop_instance_uid", String),
    Column("series_instance_uid", String),
    Column("path", String),
    Column("sha256", String),
    Column("size", Integer),
    Column("created_at", UtcDateTime),
    Column("purged_at", UtcDateTime),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("series_id", Integer),
    Column("revision", Integer),
    Column("destination", String),
    Column("state", _state(DeliveryState)),
    Column("attempts", Integer),
    Column("not_before", UtcDateTime),
    Column("lease_owner", String),
    Column("lease_expires_at", UtcDateTime),
    Column("roles", JSON(none_as_null=True)),
    Column("statuses", JSON(none_as_null=True)),
    Column("last_error", Text),
    Column("created_at", UtcDateTime),
    Column("first_tried_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("asked", Integer),
    Column("committed", JSON(none_as_null=True)),
    Column("transaction_uid", String),
    Column("requested_at", UtcDateTime),
)

# What destinations were asked to commit to, and what they said.
commitments = Table(
    "commitments",
    metadata,
    Column("transaction_uid", String, primary_key=True),
    Column("delivery_id", Integer),
    Column("sop_instance_uids", JSON),
    Column("requested_at", UtcDateTime),
    Column("outcome", _state(CommitmentOutcome)),
    Column("ended_at", UtcDateTime),
)

# What others asked this node to commit to, and whether they were told.
commitment_requests = Table(
    "commitment_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("transaction_uid", String),
    Column("calling_ae_title", String),
    Column("address", String),
    Column("instances", JSON),
    Column("state", _state(RequestState)),
    Column("duplicate", Boolean),
    Column("attempts", Integer),
    Column("not_before", UtcDateTime),
    Column("last_error", Text),
    Column("received_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", String),  # text, as it was hashed
    Column("event", String),
    Column("series_instance_uid", String),
    Column("actor", String),
    Column("detail", Text),  # canonical JSON, as it was hashed
    Column("previous_hash", String),
    Column("hash", String),
)
