"""The digests of objects' blocks."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "block_digests",
        sa.Column("title_id", sa.String(length=63), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digests", sa.LargeBinary(length=67108864), nullable=False),
        sa.ForeignKeyConstraint(["title_id"], ["titles.title_id"]),
        sa.PrimaryKeyConstraint("title_id", "position"),
    )


def downgrade() -> None:
    op.drop_table("block_digests")
