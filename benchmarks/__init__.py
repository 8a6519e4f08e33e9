"""Benchmarks: each prints a table of figures measured as ratios within one run."""
