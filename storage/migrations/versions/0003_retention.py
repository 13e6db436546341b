"""What was deleted from the disk, and when: images, results, and deletions that a crash interrupted.

A row outlives its file: it says what was here, and a sender's second copy is told from the first.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS = (
    "ALTER TABLE instances ADD COLUMN purged_at TEXT",
    "ALTER TABLE results ADD COLUMN purged_at TEXT",
    "ALTER TABLE series ADD COLUMN ended_at TEXT",
    "ALTER TABLE series ADD COLUMN source_purged_at TEXT",
    "ALTER TABLE series ADD COLUMN results_purged_at TEXT",
    # The revision up to which files are still being deleted; null where none are.
    "ALTER TABLE series ADD COLUMN source_deletion INTEGER CHECK (source_deletion >= 1)",
    "ALTER TABLE series ADD COLUMN results_deletion INTEGER CHECK (results_deletion >= 1)",
)

# When series ended was not kept: with the last delivery of the revision, or with the decision.
ENDED = """
UPDATE series SET ended_at = coalesce(
    (SELECT max(ended_at) FROM deliveries
     WHERE deliveries.series_id = series.id AND deliveries.revision = series.revision),
    concluded_at, last_received_at)
WHERE state IN ('DONE', 'NOT_ANALYSED')
"""

INDEXES = (
    "CREATE INDEX series_to_purge ON series (ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX instances_purged ON instances (series_id) WHERE purged_at IS NOT NULL",
)


def upgrade() -> None:
    for statement in (*COLUMNS, ENDED, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
