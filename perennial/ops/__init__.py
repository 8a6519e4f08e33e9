"""The system on one machine: servers, worker and sensor as children, sessions with Prefect, who is alive."""
