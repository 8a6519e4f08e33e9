"""Observations to training set: features inside one scikit-learn Pipeline, labels joined, holdout split off."""
