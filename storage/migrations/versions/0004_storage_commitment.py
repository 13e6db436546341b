"""Storage commitment (PS3.4 annex J): a delivery may wait for it, and others may ask this node for it.

SQLite cannot change a CHECK constraint, so that the table of deliveries is made anew.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEPT = (
    "id, series_id, revision, destination, state, attempts, not_before, lease_owner, lease_expires_at, statuses,"
    " last_error, created_at, ended_at, roles"
)

DELIVERIES = """
CREATE TABLE deliveries_0004 (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    revision INTEGER NOT NULL CHECK (revision >= 1),
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PENDING', 'STORED', 'DELIVERED', 'FAILED', 'WITHDRAWN')),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    not_before TEXT,
    lease_owner TEXT,
    lease_expires_at TEXT,
    statuses TEXT,
    last_error TEXT,
    created_at TEXT NOT NULL,
    ended_at TEXT,
    roles TEXT,
    asked INTEGER NOT NULL DEFAULT 0 CHECK (asked >= 0),
    committed TEXT,
    transaction_uid TEXT,
    requested_at TEXT,
    UNIQUE (series_id, revision, destination),
    CONSTRAINT lease_is_whole CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT lease_only_while_open CHECK (lease_owner IS NULL OR state IN ('PENDING', 'STORED')),
    CONSTRAINT ended_or_open CHECK ((state IN ('PENDING', 'STORED')) = (ended_at IS NULL)),
    CONSTRAINT stored_after_a_try CHECK (state <> 'STORED' OR attempts >= 1),
    CONSTRAINT request_is_whole CHECK ((transaction_uid IS NULL) = (requested_at IS NULL)),
    CONSTRAINT asked_under_a_transaction CHECK (asked = 0 OR transaction_uid IS NOT NULL)
)
"""

COMMITMENTS = """
CREATE TABLE commitments (
    transaction_uid TEXT PRIMARY KEY NOT NULL,
    delivery_id INTEGER NOT NULL REFERENCES deliveries (id),
    sop_instance_uids TEXT NOT NULL,
    requested_at TEXT NOT NULL,
    outcome TEXT CHECK (outcome IN ('committed', 'failed', 'superseded')),
    ended_at TEXT,
    CONSTRAINT ended_with_an_outcome CHECK ((outcome IS NULL) = (ended_at IS NULL))
) WITHOUT ROWID
"""

COMMITMENT_REQUESTS = """
CREATE TABLE commitment_requests (
    id INTEGER PRIMARY KEY,
    transaction_uid TEXT NOT NULL,
    calling_ae_title TEXT NOT NULL,
    address TEXT NOT NULL,
    instances TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('OPEN', 'REPORTED', 'FAILED')),
    duplicate INTEGER NOT NULL CHECK (duplicate IN (0, 1)),
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    not_before TEXT,
    last_error TEXT,
    received_at TEXT NOT NULL,
    ended_at TEXT,
    CONSTRAINT ended_or_open CHECK ((state = 'OPEN') = (ended_at IS NULL))
)
"""

INDEXES = (
    # A destination is sent the results of one revision at a time.
    "CREATE UNIQUE INDEX one_open_delivery ON deliveries (series_id, destination)"
    " WHERE state IN ('PENDING', 'STORED')",
    "CREATE INDEX deliveries_to_claim ON deliveries (destination, created_at, id)"
    " WHERE state IN ('PENDING', 'STORED')",
    "CREATE INDEX commitments_of_delivery ON commitments (delivery_id)",
    "CREATE INDEX commitment_requests_to_report ON commitment_requests (id) WHERE state = 'OPEN'",
    "CREATE INDEX commitment_requests_by_transaction ON commitment_requests (transaction_uid)",
    "CREATE INDEX instances_by_uid ON instances (sop_instance_uid)",
)


def upgrade() -> None:
    op.execute(DELIVERIES)
    op.execute(f"INSERT INTO deliveries_0004 ({KEPT}) SELECT {KEPT} FROM deliveries")
    op.execute("DROP TABLE deliveries")
    op.execute("ALTER TABLE deliveries_0004 RENAME TO deliveries")
    for statement in (COMMITMENTS, COMMITMENT_REQUESTS, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
