"""Quarantine: rejected rows and files are listed, exported, readmitted or dropped."""
