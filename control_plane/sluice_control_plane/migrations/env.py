"""Runs the migrations over the connection that `database.open_database` hands in."""

from alembic import context

from sluice_control_plane.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite cannot alter most things of a table: it is copied instead.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
