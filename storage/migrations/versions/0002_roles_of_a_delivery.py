"""Which results a delivery holds: destinations may be sent different ones. None, as of older rows: all of them."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE deliveries ADD COLUMN roles TEXT")


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
