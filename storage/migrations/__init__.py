"""Migrations of the database; `storage.database.open_database` runs what is missing.

A new one is a file in versions/ whose `down_revision` is the one before it, and its number in
`storage.schema.SCHEMA_REVISION`. A migration that was released is never edited.
"""
