"""Ingestion: find landed files, identify them by content, and stage them in the contract's types."""
