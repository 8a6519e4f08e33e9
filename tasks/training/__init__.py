"""Training set to candidate: fit the estimator and a dummy baseline beside it, log both facts and model."""
