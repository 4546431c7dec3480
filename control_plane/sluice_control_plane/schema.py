"""The tables. Times are whole microseconds since 1970; every text has a length for MySQL's sake.

The migrations in `migrations/` make these tables; a test compares the two.
"""

import sqlalchemy as sa

metadata = sa.MetaData()

_ID = sa.String(63)
_KEY = sa.String(512)
# A signed map of 600,000 prefixes is 8 MB; MySQL wants to be told that a blob is long.
_DOCUMENT = sa.LargeBinary(64 * 1024 * 1024)

partners = sa.Table(
    "partners",
    metadata,
    sa.Column("partner_id", _ID, primary_key=True),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("create_time_us", sa.BigInteger, nullable=False),
)

sites = sa.Table(
    "sites",
    metadata,
    sa.Column("site_id", _ID, primary_key=True),
    sa.Column("partner_id", _ID, sa.ForeignKey("partners.partner_id"), nullable=False, index=True),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("create_time_us", sa.BigInteger, nullable=False),
)

appliances = sa.Table(
    "appliances",
    metadata,
    sa.Column("appliance_id", _ID, primary_key=True),
    sa.Column("site_id", _ID, sa.ForeignKey("sites.site_id"), nullable=False, index=True),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("drained", sa.Boolean(create_constraint=False), nullable=False),
    # Counts the changes of an operator's settings: the etag is made of it.
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("create_time_us", sa.BigInteger, nullable=False),
    sa.Column("enrol_time_us", sa.BigInteger, nullable=True),
    # What was believed when it last changed, so that a restart of ours empties nobody from the map.
    sa.Column("health", sa.String(16), nullable=False),
    sa.Column("incarnation", sa.String(64), nullable=False),
    sa.Column("ipv4", sa.String(15), nullable=False),
    sa.Column("ipv6", sa.String(39), nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("tls", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("software_version", sa.String(64), nullable=False),
    sa.Column("last_heartbeat_time_us", sa.BigInteger, nullable=True),
)

enrolment_tokens = sa.Table(
    "enrolment_tokens",
    metadata,
    # SHA-256 of the secret, hexadecimal.
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column(
        "appliance_id", _ID, sa.ForeignKey("appliances.appliance_id"), nullable=False, unique=True
    ),
    sa.Column("expire_time_us", sa.BigInteger, nullable=False),
    # SHA-256 of the SubjectPublicKeyInfo that used it, hexadecimal; empty while nobody has.
    sa.Column("used_by", sa.String(64), nullable=False),
)

fill_reports = sa.Table(
    "fill_reports",
    metadata,
    sa.Column("appliance_id", _ID, sa.ForeignKey("appliances.appliance_id"), primary_key=True),
    sa.Column("manifest_revision", sa.BigInteger, nullable=False),
    sa.Column("held_objects", sa.BigInteger, nullable=False),
    sa.Column("wanted_objects", sa.BigInteger, nullable=False),
    sa.Column("held_bytes", sa.BigInteger, nullable=False),
    sa.Column("wanted_bytes", sa.BigInteger, nullable=False),
    # A list of `title/version`.
    sa.Column("complete_titles", sa.JSON, nullable=False),
)

# What players of a site take, smoothed over days.
site_demand = sa.Table(
    "site_demand",
    metadata,
    sa.Column("site_id", _ID, sa.ForeignKey("sites.site_id"), primary_key=True),
    sa.Column("begin_time_us", sa.BigInteger, nullable=False),
    # When a byte counts for one in the score.
    sa.Column("since_time_us", sa.BigInteger, nullable=False),
    # `title/version` -> bytes.
    sa.Column("score", sa.JSON, nullable=False),
)

# How far each appliance was heard about demand, so that a report counts once.
demand_heard = sa.Table(
    "demand_heard",
    metadata,
    sa.Column("appliance_id", _ID, sa.ForeignKey("appliances.appliance_id"), primary_key=True),
    sa.Column("incarnation", sa.String(64), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
)

# The buckets that a site holds more copies of than of others.
bucket_copies = sa.Table(
    "bucket_copies",
    metadata,
    sa.Column("site_id", _ID, sa.ForeignKey("sites.site_id"), primary_key=True),
    sa.Column("bucket", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("copies", sa.Integer, nullable=False),
)

# The disks of each appliance, but for how full they are, which changes with every report.
disks = sa.Table(
    "disks",
    metadata,
    sa.Column("appliance_id", _ID, sa.ForeignKey("appliances.appliance_id"), primary_key=True),
    sa.Column("disk_name", sa.String(128), primary_key=True),
    sa.Column("tier", sa.Integer, nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("capacity_bytes", sa.BigInteger, nullable=False),
)

fill_policies = sa.Table(
    "fill_policies",
    metadata,
    sa.Column("site_id", _ID, sa.ForeignKey("sites.site_id"), primary_key=True),
    # A serialised sluice.fill.v1.FillPolicy: 32 windows are some kilobytes.
    sa.Column("policy", sa.LargeBinary(65535), nullable=False),
    # What an operator allows a partner; 0 for anything.
    sa.Column("drive_writes_per_day_max", sa.Double, nullable=False),
)

titles = sa.Table(
    "titles",
    metadata,
    sa.Column("title_id", _ID, primary_key=True),
    sa.Column("display_name", sa.String(200), nullable=False),
    sa.Column("version", sa.String(128), nullable=False),
    sa.Column("live", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("duration_us", sa.BigInteger, nullable=False),
    sa.Column("attribution", sa.String(1000), nullable=False),
    sa.Column("hls_key", _KEY, nullable=False),
    sa.Column("dash_key", _KEY, nullable=False),
    sa.Column("integrity_key", _KEY, nullable=False),
    sa.Column("create_time_us", sa.BigInteger, nullable=False),
    # A FillPriority; 0 for by age.
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
)

renditions = sa.Table(
    "renditions",
    metadata,
    sa.Column("title_id", _ID, sa.ForeignKey("titles.title_id"), primary_key=True),
    # Where it stands in the title.
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("rendition_id", sa.String(63), nullable=False),
    sa.Column("object_key", _KEY, nullable=False),
    sa.Column("codecs", sa.String(200), nullable=False),
    sa.Column("width", sa.BigInteger, nullable=False),
    sa.Column("height", sa.BigInteger, nullable=False),
    sa.Column("bitrate_kbps", sa.BigInteger, nullable=False),
    sa.Column("language", sa.String(63), nullable=False),
)

objects = sa.Table(
    "objects",
    metadata,
    sa.Column("title_id", _ID, sa.ForeignKey("titles.title_id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("object_key", _KEY, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.LargeBinary(32), nullable=False),
    sa.Column("content_type", sa.String(127), nullable=False),
)

# By which the blocks of an object are verified as they come; a table of its own, because they are read
# for one title at a time.
block_digests = sa.Table(
    "block_digests",
    metadata,
    sa.Column("title_id", _ID, sa.ForeignKey("titles.title_id"), primary_key=True),
    # Of the object in the title.
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digests", _DOCUMENT, nullable=False),
)

routes = sa.Table(
    "routes",
    metadata,
    sa.Column("site_id", _ID, sa.ForeignKey("sites.site_id"), primary_key=True),
    # Family, address in hexadecimal and length: text order is the order of prefixes.
    sa.Column("sort_key", sa.String(40), primary_key=True, index=True),
    sa.Column("prefix", sa.String(43), nullable=False),
)

request_ids = sa.Table(
    "request_ids",
    metadata,
    sa.Column("request_id", sa.String(36), primary_key=True),
    # SHA-256 of the method and the request, hexadecimal: the same id asks for the same thing.
    sa.Column("digest", sa.String(64), nullable=False),
    # What it made, such as `titles/big-buck-bunny`.
    sa.Column("resource_name", sa.String(96), nullable=False, index=True),
    sa.Column("create_time_us", sa.BigInteger, nullable=False, index=True),
)

token_keys = sa.Table(
    "token_keys",
    metadata,
    # The first 16 hex digits of the SHA-256 of the public half.
    sa.Column("key_id", sa.String(16), primary_key=True),
    # PKCS #8 in DER.
    sa.Column("private_key", sa.LargeBinary(512), nullable=False),
    sa.Column("sign_time_us", sa.BigInteger, nullable=False),
    # Null while no other key is to follow.
    sa.Column("expire_time_us", sa.BigInteger, nullable=True),
)

# What is published, and its revision: `map`, `titles`, `token-keys`, `manifests/a-1`.
documents = sa.Table(
    "documents",
    metadata,
    sa.Column("document_name", sa.String(96), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("payload", _DOCUMENT, nullable=False),
)
