"""What is due, what would run and why."""
