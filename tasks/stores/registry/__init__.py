"""The registry of models: MLflow, its files, its aliases."""
