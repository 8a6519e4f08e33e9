"""Every effect, named by role: lake, tracking, audit, models, locks, settings."""
