"""Batches to observations: contract, expectations, quarantine; accepted rows are appended exactly once."""
