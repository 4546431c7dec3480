"""Policies of fill, priorities of titles, and disks."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("titles", sa.Column("priority", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "disks",
        sa.Column("appliance_id", sa.String(length=63), nullable=False),
        sa.Column("disk_name", sa.String(length=128), nullable=False),
        sa.Column("tier", sa.Integer(), nullable=False),
        sa.Column("state", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("capacity_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["appliance_id"], ["appliances.appliance_id"]),
        sa.PrimaryKeyConstraint("appliance_id", "disk_name"),
    )
    op.create_table(
        "fill_policies",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("policy", sa.LargeBinary(length=65535), nullable=False),
        sa.Column("drive_writes_per_day_max", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["sites.site_id"]),
        sa.PrimaryKeyConstraint("site_id"),
    )


def downgrade() -> None:
    op.drop_table("fill_policies")
    op.drop_table("disks")
    op.drop_column("titles", "priority")
