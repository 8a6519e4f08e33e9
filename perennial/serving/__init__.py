"""The prediction service: no Prefect, Great Expectations, Evidently or MLflow in its process."""
