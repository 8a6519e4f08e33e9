"""Pipelines as data: one YAML a pipeline, its typed schema, and the only reader of those files."""
