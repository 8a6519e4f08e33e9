"""Observations to verdict: measure drift against what the champion was trained on, decide when to retrain."""
