"""Migrations of the state's database, by alembic: `upgrade` runs them, `versions` holds them."""
