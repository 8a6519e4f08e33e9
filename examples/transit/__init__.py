"""Simulated bus arrivals of an invented city. No row describes a real bus, city or person."""
