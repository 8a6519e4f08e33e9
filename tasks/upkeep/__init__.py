"""Upkeep: compaction and vacuum of the lake's tables."""
