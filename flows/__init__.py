"""Wiring only: one file a flow, the command line, and the embedded Prefect server."""
