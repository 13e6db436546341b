"""Series, instances, results, deliveries and the audit log, with what the database itself refuses.

Times are ISO 8601 text in UTC with microseconds and of fixed width, so that text order is time order.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERIES = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    series_instance_uid TEXT NOT NULL UNIQUE,
    study_instance_uid TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('RECEIVING', 'COMPLETE', 'QUEUED', 'ANALYSED', 'REFUSED', 'DELIVERING',
                                         'DONE', 'NOT_ANALYSED', 'FAILED')),
    revision INTEGER NOT NULL CHECK (revision >= 1),
    instance_count INTEGER NOT NULL CHECK (instance_count >= 0),
    announced_instances INTEGER CHECK (announced_instances > 0),
    conflicting INTEGER NOT NULL CHECK (conflicting IN (0, 1)),
    urgent INTEGER NOT NULL CHECK (urgent IN (0, 1)),
    sender_ae_title TEXT NOT NULL,
    sender_address TEXT,
    first_received_at TEXT NOT NULL,
    last_received_at TEXT NOT NULL,
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    crashes INTEGER NOT NULL CHECK (crashes >= 0),
    not_before TEXT,
    lease_owner TEXT,
    lease_expires_at TEXT,
    failed_from TEXT CHECK (failed_from IN ('COMPLETE', 'QUEUED', 'ANALYSED', 'REFUSED', 'DELIVERING')),
    outcome TEXT CHECK (outcome IN ('analysed', 'refused')),
    reason_code TEXT,
    reason_detail TEXT,
    refusal_code TEXT,
    refusal_detail TEXT,
    findings_path TEXT,
    weights_sha256 TEXT,
    lesion_count INTEGER CHECK (lesion_count >= 0),
    concluded_at TEXT,
    last_error TEXT,
    CONSTRAINT lease_is_whole CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT lease_only_where_work_is CHECK (
        lease_owner IS NULL OR state IN ('COMPLETE', 'QUEUED', 'ANALYSED', 'REFUSED')),
    CONSTRAINT failed_from_somewhere CHECK ((state = 'FAILED') = (failed_from IS NOT NULL)),
    CONSTRAINT failed_for_a_reason CHECK (state <> 'FAILED' OR reason_code IS NOT NULL),
    CONSTRAINT undecided_has_no_outcome CHECK (
        CASE WHEN state = 'FAILED' THEN failed_from ELSE state END NOT IN ('RECEIVING', 'COMPLETE', 'QUEUED')
        OR (outcome IS NULL AND concluded_at IS NULL)),
    CONSTRAINT decided_has_an_outcome CHECK (
        CASE WHEN state = 'FAILED' THEN failed_from ELSE state END NOT IN ('DELIVERING')
        OR outcome IS NOT NULL),
    CONSTRAINT analysed_outcome CHECK (
        CASE WHEN state = 'FAILED' THEN failed_from ELSE state END NOT IN ('ANALYSED', 'DONE')
        OR outcome IS 'analysed'),
    CONSTRAINT refused_outcome CHECK (
        CASE WHEN state = 'FAILED' THEN failed_from ELSE state END NOT IN ('REFUSED', 'NOT_ANALYSED')
        OR outcome IS 'refused'),
    CONSTRAINT analysed_has_findings CHECK (
        outcome IS NOT 'analysed' OR (findings_path IS NOT NULL AND weights_sha256 IS NOT NULL
                                      AND lesion_count IS NOT NULL AND concluded_at IS NOT NULL)),
    CONSTRAINT refused_for_a_reason CHECK (
        outcome IS NOT 'refused' OR (refusal_code IS NOT NULL AND concluded_at IS NOT NULL))
)
"""

INSTANCES = """
CREATE TABLE instances (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    study_instance_uid TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    transfer_syntax_uid TEXT NOT NULL,
    path TEXT NOT NULL UNIQUE,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    size INTEGER NOT NULL CHECK (size >= 0),
    conflict INTEGER NOT NULL CHECK (conflict IN (0, 1)),
    revision INTEGER NOT NULL CHECK (revision >= 1),
    calling_ae_title TEXT NOT NULL,
    address TEXT,
    received_at TEXT NOT NULL
)
"""

RESULTS = """
CREATE TABLE results (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    revision INTEGER NOT NULL CHECK (revision >= 1),
    role TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    path TEXT NOT NULL UNIQUE,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    size INTEGER NOT NULL CHECK (size > 0),
    created_at TEXT NOT NULL,
    UNIQUE (series_id, revision, role),
    UNIQUE (series_id, revision, sop_instance_uid)
)
"""

DELIVERIES = """
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    revision INTEGER NOT NULL CHECK (revision >= 1),
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED', 'WITHDRAWN')),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    not_before TEXT,
    lease_owner TEXT,
    lease_expires_at TEXT,
    statuses TEXT,
    last_error TEXT,
    created_at TEXT NOT NULL,
    ended_at TEXT,
    UNIQUE (series_id, revision, destination),
    CONSTRAINT lease_is_whole CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT lease_only_while_pending CHECK (lease_owner IS NULL OR state = 'PENDING'),
    CONSTRAINT ended_or_pending CHECK ((state = 'PENDING') = (ended_at IS NULL))
)
"""

AUDIT = """
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    event TEXT NOT NULL,
    series_instance_uid TEXT,
    actor TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous_hash TEXT NOT NULL CHECK (length(previous_hash) = 64),
    hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64)
)
"""

INDEXES = (
    "CREATE INDEX series_to_claim ON series (state, urgent DESC, last_received_at, id)",
    "CREATE INDEX instances_of_series ON instances (series_id)",
    # One instance of a SOP Instance UID is the first; whatever differs from it is a conflict.
    "CREATE UNIQUE INDEX one_first_instance ON instances (series_id, sop_instance_uid) WHERE conflict = 0",
    # A destination is sent the results of one revision at a time.
    "CREATE UNIQUE INDEX one_pending_delivery ON deliveries (series_id, destination) WHERE state = 'PENDING'",
    "CREATE INDEX deliveries_to_claim ON deliveries (destination, created_at, id) WHERE state = 'PENDING'",
    "CREATE INDEX audit_of_series ON audit (series_instance_uid, number)",
)

TRIGGERS = (
    """CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit
       BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    """CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
       BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
    # INSERT OR REPLACE would remove a row without a delete trigger.
    """CREATE TRIGGER audit_appends_only BEFORE INSERT ON audit
       WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM audit)
       BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END""",
)


def upgrade() -> None:
    for statement in (SERIES, INSTANCES, RESULTS, DELIVERIES, AUDIT, *INDEXES, *TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the audit log is never dropped; restore a backup instead")
