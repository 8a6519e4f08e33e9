"""The state: tables in SQLite or PostgreSQL, their schema by migrations."""
