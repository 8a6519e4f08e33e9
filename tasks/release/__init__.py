"""Verdict to champion: register, move the alias atomically, recover what a crash left between."""
