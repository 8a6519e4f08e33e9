"""Candidate to verdict: metrics, paired bootstrap against the champion, gates as records."""
