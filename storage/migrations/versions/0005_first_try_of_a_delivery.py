"""When a delivery was first tried: from then on its objects may have arrived, whatever becomes of the count of tries."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE deliveries ADD COLUMN first_tried_at TEXT")
    op.execute(
        "UPDATE deliveries SET first_tried_at = created_at"
        " WHERE attempts > 0 OR state IN ('STORED', 'DELIVERED', 'FAILED')"
    )


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
