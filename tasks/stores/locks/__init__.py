"""Locks: one writer for each part of a pipeline."""
