"""What players take, and how many copies of what they take most."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "site_demand",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("begin_time_us", sa.BigInteger(), nullable=False),
        sa.Column("since_time_us", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.site_id"]),
        sa.PrimaryKeyConstraint("site_id"),
    )
    op.create_table(
        "demand_heard",
        sa.Column("appliance_id", sa.String(length=63), nullable=False),
        sa.Column("incarnation", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["appliance_id"], ["appliances.appliance_id"]),
        sa.PrimaryKeyConstraint("appliance_id"),
    )
    op.create_table(
        "bucket_copies",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("bucket", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.site_id"]),
        sa.PrimaryKeyConstraint("site_id", "bucket"),
    )


def downgrade() -> None:
    op.drop_table("bucket_copies")
    op.drop_table("demand_heard")
    op.drop_table("site_demand")
