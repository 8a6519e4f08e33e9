"""Observations or a file to predictions: by the champion, exactly once per input and model version."""
