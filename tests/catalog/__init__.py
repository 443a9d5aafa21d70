"""Tests of the catalog, each on SQLite and on PostgreSQL."""
