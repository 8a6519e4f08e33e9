"""Quarantine: what was refused is looked at, exported, given back to be judged anew, or dropped."""
