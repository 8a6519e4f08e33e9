"""Upkeep: the lake's small files are merged, and what no kept version has is freed."""
