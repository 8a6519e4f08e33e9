"""The prediction service. Prefect, Great Expectations and Evidently never enter its process."""
