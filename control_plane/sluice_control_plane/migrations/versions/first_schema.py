"""The first schema: fleet, tokens, titles, routes, request ids and what is published."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "documents",
        sa.Column("document_name", sa.String(length=96), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(length=67108864), nullable=False),
        sa.PrimaryKeyConstraint("document_name"),
    )
    op.create_table(
        "partners",
        sa.Column("partner_id", sa.String(length=63), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=False),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partner_id"),
    )
    op.create_table(
        "request_ids",
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("resource_name", sa.String(length=96), nullable=False),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
    op.create_index(
        op.f("ix_request_ids_create_time_us"), "request_ids", ["create_time_us"], unique=False
    )
    op.create_index(
        op.f("ix_request_ids_resource_name"), "request_ids", ["resource_name"], unique=False
    )
    op.create_table(
        "titles",
        sa.Column("title_id", sa.String(length=63), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=False),
        sa.Column("version", sa.String(length=128), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("duration_us", sa.BigInteger(), nullable=False),
        sa.Column("attribution", sa.String(length=1000), nullable=False),
        sa.Column("hls_key", sa.String(length=512), nullable=False),
        sa.Column("dash_key", sa.String(length=512), nullable=False),
        sa.Column("integrity_key", sa.String(length=512), nullable=False),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("title_id"),
    )
    op.create_table(
        "objects",
        sa.Column("title_id", sa.String(length=63), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("object_key", sa.String(length=512), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("content_type", sa.String(length=127), nullable=False),
        sa.ForeignKeyConstraint(
            ["title_id"],
            ["titles.title_id"],
        ),
        sa.PrimaryKeyConstraint("title_id", "position"),
    )
    op.create_table(
        "renditions",
        sa.Column("title_id", sa.String(length=63), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("rendition_id", sa.String(length=63), nullable=False),
        sa.Column("object_key", sa.String(length=512), nullable=False),
        sa.Column("codecs", sa.String(length=200), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("bitrate_kbps", sa.BigInteger(), nullable=False),
        sa.Column("language", sa.String(length=63), nullable=False),
        sa.ForeignKeyConstraint(
            ["title_id"],
            ["titles.title_id"],
        ),
        sa.PrimaryKeyConstraint("title_id", "position"),
    )
    op.create_table(
        "sites",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("partner_id", sa.String(length=63), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=False),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["partner_id"],
            ["partners.partner_id"],
        ),
        sa.PrimaryKeyConstraint("site_id"),
    )
    op.create_index(op.f("ix_sites_partner_id"), "sites", ["partner_id"], unique=False)
    op.create_table(
        "appliances",
        sa.Column("appliance_id", sa.String(length=63), nullable=False),
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("drained", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("create_time_us", sa.BigInteger(), nullable=False),
        sa.Column("enrol_time_us", sa.BigInteger(), nullable=True),
        sa.Column("health", sa.String(length=16), nullable=False),
        sa.Column("incarnation", sa.String(length=64), nullable=False),
        sa.Column("ipv4", sa.String(length=15), nullable=False),
        sa.Column("ipv6", sa.String(length=39), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("tls", sa.Boolean(), nullable=False),
        sa.Column("software_version", sa.String(length=64), nullable=False),
        sa.Column("last_heartbeat_time_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["site_id"],
            ["sites.site_id"],
        ),
        sa.PrimaryKeyConstraint("appliance_id"),
    )
    op.create_index(op.f("ix_appliances_site_id"), "appliances", ["site_id"], unique=False)
    op.create_table(
        "routes",
        sa.Column("site_id", sa.String(length=63), nullable=False),
        sa.Column("sort_key", sa.String(length=40), nullable=False),
        sa.Column("prefix", sa.String(length=43), nullable=False),
        sa.ForeignKeyConstraint(
            ["site_id"],
            ["sites.site_id"],
        ),
        sa.PrimaryKeyConstraint("site_id", "sort_key"),
    )
    op.create_index(op.f("ix_routes_sort_key"), "routes", ["sort_key"], unique=False)
    op.create_table(
        "enrolment_tokens",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("appliance_id", sa.String(length=63), nullable=False),
        sa.Column("expire_time_us", sa.BigInteger(), nullable=False),
        sa.Column("used_by", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["appliance_id"],
            ["appliances.appliance_id"],
        ),
        sa.PrimaryKeyConstraint("digest"),
        sa.UniqueConstraint("appliance_id"),
    )
    op.create_table(
        "fill_reports",
        sa.Column("appliance_id", sa.String(length=63), nullable=False),
        sa.Column("manifest_revision", sa.BigInteger(), nullable=False),
        sa.Column("held_objects", sa.BigInteger(), nullable=False),
        sa.Column("wanted_objects", sa.BigInteger(), nullable=False),
        sa.Column("held_bytes", sa.BigInteger(), nullable=False),
        sa.Column("wanted_bytes", sa.BigInteger(), nullable=False),
        sa.Column("complete_titles", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["appliance_id"],
            ["appliances.appliance_id"],
        ),
        sa.PrimaryKeyConstraint("appliance_id"),
    )


def downgrade() -> None:
    op.drop_table("fill_reports")
    op.drop_table("enrolment_tokens")
    op.drop_index(op.f("ix_routes_sort_key"), table_name="routes")
    op.drop_table("routes")
    op.drop_index(op.f("ix_appliances_site_id"), table_name="appliances")
    op.drop_table("appliances")
    op.drop_index(op.f("ix_sites_partner_id"), table_name="sites")
    op.drop_table("sites")
    op.drop_table("renditions")
    op.drop_table("objects")
    op.drop_table("titles")
    op.drop_index(op.f("ix_request_ids_resource_name"), table_name="request_ids")
    op.drop_index(op.f("ix_request_ids_create_time_us"), table_name="request_ids")
    op.drop_table("request_ids")
    op.drop_table("partners")
    op.drop_table("documents")
