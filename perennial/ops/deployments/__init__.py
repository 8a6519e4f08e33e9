"""prefect.yaml and the notifications: checked before anything is deployed."""
