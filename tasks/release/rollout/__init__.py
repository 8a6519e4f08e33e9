"""A rollout: evidence, checks, decision."""
