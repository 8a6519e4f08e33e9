"""Wisconsin breast cancer diagnoses, the table bundled with scikit-learn, landed in parts."""
