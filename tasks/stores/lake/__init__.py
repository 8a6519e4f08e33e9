"""The lake: Delta tables of one pipeline."""
