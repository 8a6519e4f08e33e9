"""Metrics and their confidence intervals, for evaluation and monitoring."""
