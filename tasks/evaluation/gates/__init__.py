"""The gates: one module each, found by the registry."""
