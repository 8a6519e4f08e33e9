"""Verdict to champion: register, move the alias atomically, settle what a crash left between."""
