"""Data Docs: what expectations found in the newest files, as pages that a person opens."""
