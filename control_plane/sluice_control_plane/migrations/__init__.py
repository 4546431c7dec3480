"""The history of the schema, oldest first; `database.open_database` brings a database up to date."""
